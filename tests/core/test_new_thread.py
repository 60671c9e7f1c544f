"""Starting a thread, and the errors if the system or the interpreter refuses."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import NoReturn

import pytest

from aioteredo import BackendError, BackendUnavailableError
from aioteredo._new_thread import start_thread


def raise_runtime_error(text: str) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise RuntimeError(text)

    return fail


@pytest.mark.parametrize("daemon", [True, False])
def test_thread_runs_the_target_in_an_empty_context(daemon: bool) -> None:
    """The thread also has the name and the daemon flag of the arguments."""
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
    """The error is EAGAIN, because the system may have a thread later."""
    monkeypatch.setattr(
        threading.Thread, "start", raise_runtime_error("can't start new thread")
    )
    with pytest.raises(BackendError, match="^Thread.start") as raised:
        start_thread(print)
    assert raised.value.errno == errno.EAGAIN


@pytest.mark.parametrize("method", ["__init__", "start"])
def test_thread_that_a_subinterpreter_refuses_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Python refuses daemon threads when they are made, and others when they start."""
    reason = "thread is not supported for isolated subinterpreters"
    monkeypatch.setattr(threading.Thread, method, raise_runtime_error(reason))
    with pytest.raises(BackendUnavailableError, match=f"{reason}.*main interpreter"):
        start_thread(print, daemon=True)
