"""Ctrl-C, or another exception of a signal handler, at a chosen or random moment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self


class Interruption(BaseException):
    """The exception of the signal handler, which a real Ctrl-C does not raise."""


class Alarm:
    """A timer whose signal raises an exception in the main thread."""

    def __init__(self) -> None:
        self._armed = False

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGALRM, self._interrupt)  # type: ignore[attr-defined,unused-ignore]
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGALRM, self._previous)  # type: ignore[attr-defined,unused-ignore]

    def _interrupt(self, *_: object) -> None:
        if self._armed:  # another thread may have received the signal late
            self._armed = False
            raise Interruption

    def call(self, seconds: float, function: Callable[[], object]) -> bool:
        """Call the function.

        :return: whether the alarm has interrupted it
        """
        try:
            try:
                self._armed = True
                signal.setitimer(signal.ITIMER_REAL, seconds)  # type: ignore[attr-defined,unused-ignore]
                function()
            finally:
                self._armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)  # type: ignore[attr-defined,unused-ignore]
        except Interruption:
            return True
        return False


def open_descriptors() -> int:
    """Return the number of open descriptors, or 0 if the system is not Linux."""
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0


def once(function: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    """Return *function*, whose first call is interrupted before or after it has run."""
    calls = iter([True])

    def interrupted(*arguments: Any) -> Any:
        first = next(calls, False)
        if first and before:
            raise KeyboardInterrupt
        result = function(*arguments)
        if first:
            raise KeyboardInterrupt
        return result

    return interrupted


def is_free(lock: Any) -> bool:
    """Return whether another thread can acquire the lock."""
    with ThreadPoolExecutor(1) as pool:
        acquired: bool = pool.submit(lock.acquire, timeout=1).result()
    return acquired
