"""The outcome of a call on one thread, for the thread or task that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Outcome(Generic[T]):
    """The value that a call has returned, or the exception that it has raised.

    Waiting is left to its users, because a task and a thread wait in different ways.
    """

    # Not concurrent.futures.Future: its module imports logging, which would delay the start
    # of the command line.

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
        """Return the value, or raise the exception. To be called once."""
        if self._error is None:
            return self._value
        try:
            raise self._error
        finally:
            # The traceback holds this frame, and the frame this object. If this object kept
            # the exception, they would be a reference cycle.
            self._error = None
