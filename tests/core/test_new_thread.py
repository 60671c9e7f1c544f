"""Starting a thread, and the reasons why there may be none."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import NoReturn

import pytest

from aioteredo import BackendError, BackendUnavailableError
from aioteredo._new_thread import start_thread


def raiser(text: str) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise RuntimeError(text)

    return fail


@pytest.mark.parametrize("daemon", [True, False])
def test_thread_runs_the_target_in_an_empty_context(daemon: bool) -> None:
    """The thread has the name and the kind that were asked for, and no context."""
    variable: ContextVar[str] = ContextVar("variable", default="empty")
    variable.set("the starter's")
    seen: list[object] = []

    def target() -> None:
        thread = threading.current_thread()
        seen.extend([thread.name, thread.daemon, variable.get()])

    start_thread(target, name="aioteredo test", daemon=daemon).join()
    assert seen == ["aioteredo test", daemon, "empty"]


def test_thread_that_the_system_refuses_is_a_backend_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A system without another thread may have one later: EAGAIN."""
    monkeypatch.setattr(threading.Thread, "start", raiser("can't start new thread"))
    with pytest.raises(BackendError, match="^Thread.start") as raised:
        start_thread(print)
    assert raised.value.errno == errno.EAGAIN


@pytest.mark.parametrize("method", ["__init__", "start"])
def test_thread_that_a_subinterpreter_refuses_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Python refuses daemon threads when they are made, and all threads on starting."""
    reason = "thread is not supported for isolated subinterpreters"
    monkeypatch.setattr(threading.Thread, method, raiser(reason))
    with pytest.raises(BackendUnavailableError, match=f"{reason}.*main interpreter"):
        start_thread(print, daemon=True)
