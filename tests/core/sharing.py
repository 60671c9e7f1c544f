"""Helpers for the tests of shared registrations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import pytest

from aioteredo import Backend, share
from aioteredo._shared_subscription import SharedSubscribe

from ..support.manual_backend import ManualBackend
from ..support.sinks import RecordingSink
from ..support.waiting import join, limit, start_thread

A_WHILE: Final = 0.2
"""Seconds in which a call that has nothing to wait for would have returned."""


def manual_backend() -> tuple[ManualBackend, Backend]:
    """Return a backend that the test controls, and its shared form."""
    backend = ManualBackend()
    return backend, share(backend)


class HeldCall:
    """A call of the backend that blocks until the test lets it return."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_return = threading.Event()

    def __call__(self) -> None:
        """Block, on the thread that calls the backend."""
        self.begun.set()
        self.may_return.wait(limit())


def users(shared: Backend) -> int:
    """Return the number of users of the present registration."""
    current = cast("SharedSubscribe[Any]", shared.subscribe).current
    return 0 if current is None else len(current.users)


def refuse_threads(patch: pytest.MonkeyPatch) -> None:
    """Make the system refuse every new thread."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    patch.setattr("_thread.start_new_thread", refuse)
    patch.setattr(threading.Thread, "start", refuse)


@contextmanager
def push_in_progress(
    backend: ManualBackend, shared: Backend
) -> Iterator[Callable[[], None]]:
    """Push 7 to all present sinks, on a thread that is held until the end of the block.

    :return: a function that lets the push go on before that
    """
    sink = RecordingSink()
    subscription = shared.subscribe(sink, initial=False)
    sink.hold = True
    thread = start_thread(lambda: backend.push(7))
    assert sink.held.wait(limit())
    try:
        yield sink.release.set
    finally:
        sink.release.set()
        join(thread)
        subscription.cancel()
