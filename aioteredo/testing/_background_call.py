"""A call on a thread of its own, which a test can wait for with a limit."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, Generic, TypeVar

import pytest

T = TypeVar("T")


class BackgroundCall(Generic[T]):
    """A function call that runs on a thread of its own."""

    def __init__(self, timeout: float, function: Callable[..., T], *args: Any) -> None:
        self._timeout = timeout
        self._function = function
        self._args = args
        self._future: Future[T] = Future()

        # A daemon, because a thread that hangs would keep the interpreter from exiting.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._function(*self._args))
        except BaseException as error:  # noqa: BLE001 - result() raises it
            self._future.set_exception(error)

    def returns_within(self, seconds: float) -> bool:
        """Wait at most *seconds*, and return whether the call has returned."""
        return bool(wait([self._future], seconds).done)

    def result(self) -> T:
        """Return the result, or fail the test if the call takes longer than the timeout."""
        self._thread.join(self._timeout)

        if self._thread.is_alive():
            frame = sys._current_frames().get(self._thread.ident or 0)
            stack = "".join(traceback.format_stack(frame))
            pytest.fail(
                f"the call has not returned after {self._timeout} s; its thread is "
                f"here:\n{stack}"
            )
        return self._future.result()
