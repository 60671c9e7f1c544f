"""The outcome of a call on one thread, for the thread or task that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Outcome(Generic[T]):
    """The value that a call has returned, or the exception that it has raised.

    It says nothing about waiting: how the other side learns that the call has finished
    differs between a task and a thread. concurrent.futures has both, but importing it
    imports logging, which takes more time than the rest of a small command.
    """

    __slots__ = ("_error", "_value", "finished")

    finished: bool
    """Whether the call has returned or raised."""

    def __init__(self) -> None:
        self._error: BaseException | None = None
        self.finished = False

    def capture(self, func: Callable[[], T]) -> None:
        """Call *func*, and keep its value or its exception."""
        try:
            self._value = func()
        except BaseException as error:  # noqa: BLE001 - unwrap() raises it
            self._error = error
        self.finished = True

    def unwrap(self) -> T:
        """Return the value, or raise the exception. Once."""
        if self._error is None:
            return self._value
        try:
            raise self._error
        finally:
            # Otherwise the exception, its traceback, this frame and this object would be a
            # reference cycle.
            self._error = None
