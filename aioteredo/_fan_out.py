"""A sink that pushes each notification to many sinks. Watches that share one use it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Hashable
from contextlib import suppress
from copy import copy
from threading import RLock
from typing import Final, Generic, TypeVar

from ._backend import SinkOf
from ._errors import BackendError, failure
from ._events import NotificationType
from ._locks import call_holding, try_call_holding

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

# A plain int, because reading the member of an enum takes time in each notification.
_INITIAL: Final = NotificationType.INITIAL.value


class FanOut(Generic[T]):
    """A sink of a backend, and the sinks that get its notifications."""

    newest: tuple[T] | None
    """The newest value, or None as long as there is none. Never None again after that."""

    failure: BackendError | None
    """The error with which the backend has failed, or None."""

    on_change: Callable[[SinkOf[T]], object]
    """A function that is called with each sink that has been added, has failed or has left.

    It must neither wait nor raise. A simulated client learns from it which streams it has.
    """

    def __init__(self) -> None:
        self.newest = None
        self.failure = None
        self.on_change = lambda _: None
        self.forget()

    def forget(self) -> None:
        """Forget all sinks, as the child of a fork must."""
        self._sinks: dict[Hashable, SinkOf[T]] = {}

        # Held while a notification is pushed to all sinks, and while a sink is added or
        # removed. No native call is made under it: a native cancel waits for pushes.
        #
        # Without the GIL, the lock also makes each of these changes visible to the next
        # thread that takes it. ``newest`` and ``failure`` may be read without the lock,
        # because each is one reference. A reader that needs the present one takes the lock.
        self._lock = RLock()

    @property
    def sinks(self) -> list[SinkOf[T]]:
        """The sinks that get the notifications now. From any thread."""
        return list(self._sinks.values())

    def learn(self, value: T) -> None:
        """Take *value*, which was read, unless a notification has brought one by now."""

        def learn() -> None:
            self.newest = self.newest or (value,)

        call_holding(self._lock, learn)

    def add(self, key: Hashable, sink: SinkOf[T], initial: bool) -> None:
        """Add *sink*, after an initial push if that is requested. May wait for a push.

        :param key: the argument for :meth:`remove`
        :param initial: True only if there is a newest value
        :raises BackendError: a copy of the failure, if the backend has failed
        """
        call_holding(self._lock, lambda: self._add(key, sink, initial))

    def try_add(self, key: Hashable, sink: SinkOf[T], initial: bool) -> bool:
        """Do as add() does, and return True, if no push is running. Never blocks."""
        return try_call_holding(self._lock, lambda: self._add(key, sink, initial), False)

    def _add(self, key: Hashable, sink: SinkOf[T], initial: bool) -> bool:
        if self.failure is not None:
            raise copy_of(self.failure)

        if initial:
            assert self.newest is not None
            # The initial push and the adding of the sink are one step under the lock. A
            # change between two steps would be missed, or come before the initial event.
            sink.push(self.newest[0], _INITIAL)

        self._sinks[key] = sink
        self.on_change(sink)
        return True

    def remove(self, key: Hashable) -> None:
        """Remove a sink. Waits for a push that is running; no push comes after that."""
        call_holding(self._lock, lambda: self._remove(key))

    def try_remove(self, key: Hashable) -> bool:
        """Do as remove() does, and return True, if no push is running. Never blocks."""
        return try_call_holding(self._lock, lambda: self._remove(key), False)

    def _remove(self, key: Hashable) -> bool:
        sink = self._sinks.pop(key, None)
        if sink is not None:
            self.on_change(sink)
        return True

    # Called by the backend

    def push(self, value: T, notification_type: int, /) -> None:
        """Push a change to all sinks. An initial push only brings a value."""
        try:
            self._lock.acquire()
            self.newest = (value,)
            if notification_type == _INITIAL:
                return

            broken: list[tuple[Hashable, BaseException]] = []
            for key, sink in self._sinks.items():
                try:
                    sink.push(value, notification_type)
                except BaseException as error:  # noqa: BLE001 - the sink gets it
                    # Raised further, it would keep the change from the other sinks.
                    broken.append((key, error))

            for key, cause in broken:
                self._fail(key, failure("Sink.push", errno.EIO, "errno", cause))
        finally:
            # As in call_holding(), which would add two calls to each notification.
            try:  # noqa: SIM105 - Ctrl-C could be raised inside of suppress()
                self._lock.release()
            except RuntimeError:  # interrupted before the lock was acquired
                pass

    def fail(self, error: BackendError) -> None:
        """Fail all sinks, each with an error of its own."""

        def fail() -> None:
            self.failure = error
            for key in list(self._sinks):
                # One object for all would mix the tracebacks and notes of their users.
                self._fail(key, copy_of(error))

        call_holding(self._lock, fail)

    def _fail(self, key: Hashable, error: BackendError) -> None:
        sink = self._sinks.pop(key)

        # Nobody is left to whom an exception of Sink.fail() could be reported. Raised
        # further, it would keep the failure from the other sinks.
        with suppress(Exception):
            sink.fail(error)
        self.on_change(sink)


def copy_of(error: E) -> E:
    """Return a copy of *error* with its cause and notes, or *error* if it has no copy."""
    try:
        copied = copy(error)

        # A class that makes a text of its argument has made one of the text.
        copied.args = error.args

        # Setting the cause, even to None, hides the exception that its user is handling.
        copied.__cause__ = error.__cause__
        copied.__suppress_context__ = error.__suppress_context__

        if hasattr(error, "__notes__"):
            copied.__notes__ = list(error.__notes__)  # copy() shares the list
    except Exception:  # noqa: BLE001 - the class may be of a backend's author
        return error
    return copied
