"""A registration with one of the Notify functions of iphlpapi.dll.

The functions differ in their arguments and in the values of their callbacks. The lifetime
of a registration is the same for all of them, and is in here.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from ..._backend import SinkOf
from ..._errors import (
    ERROR_INTERNAL_ERROR,
    ERROR_INVALID_HANDLE,
    BackendError,
    failure,
)
from ..._events import NotificationType

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# Microsoft's pages do not say when the initial callback comes, nor on which thread. It may
# come before the Notify function has written the handle, later, or never. A callback may
# also come after CancelMibChangeNotify2. The code below works with each of these.

# A plain int, because reading the member of an enum takes time in each callback.
INITIAL: Final = NotificationType.INITIAL.value

# The native callbacks live as long as the process, and CallerContext is a key of this
# table. A callback that comes after its subscription was cancelled finds no entry. If each
# subscription had a native callback, ctypes could free its memory while the system is
# still calling it.
_tokens = itertools.count(1)
_subscriptions: Final[dict[int, NativeSubscription[Any]]] = {}


def on_notification(caller_context: int, detail: Any, notification_type: int) -> None:
    """Pass the arguments of a native callback on to the subscription, if it still exists.

    :param detail: the argument between the other two, such as the port
    """
    # This must not use `logging` or `threading.current_thread()`. Before Python 3.13, both
    # would keep an object for each thread of the system that ever called.
    subscription = _subscriptions.get(caller_context)
    if subscription is not None:
        subscription.notify(detail, notification_type)


def permanent(callback: Any) -> Any:
    """Return *callback*, a native callback of ctypes, and never free its memory.

    The system may call while the interpreter exits and frees the contents of its modules.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(callback))
    return callback


class NativeSubscription(ABC, Generic[T]):
    """A registration, with a handle that :meth:`cancel` passes to the system.

    There is no handle if the native function has returned the only value itself. The
    constructor registers, so a subclass calls it last.

    :param cancel: CancelMibChangeNotify2 of the library
    :param callback_name: the type of the callback in netioapi.h, for errors
    """

    def __init__(
        self, sink: SinkOf[T], cancel: Callable[[ctypes.c_void_p], int], callback_name: str
    ) -> None:
        self._sink: SinkOf[T] | None = sink  # None: cancelled or failed
        self._native_cancel = cancel
        self._callback_name = callback_name
        self._error: BaseException | None = None
        self._handle: ctypes.c_void_p | None = ctypes.c_void_p()

        # Held while a callback reads the value and pushes, so that pushes never overlap and
        # the initial one is the first. An RLock, because only an RLock raises RuntimeError
        # if a thread releases it that does not hold it; notify() relies on that.
        self._lock = threading.RLock()

        self._token = next(_tokens)
        _subscriptions[self._token] = self
        try:
            self._register(self._handle)

            early = self._error
            self._error = None
            if early is not None:
                raise early
        except BaseException as error:
            # Even if Ctrl-C came after the native call: the caller gets no subscription
            # that it could cancel, so nothing may stay registered.
            try:
                self.cancel()
            except BackendError as refused:
                error.add_note(f"while cancelling: {refused}")
            raise

    @abstractmethod
    def _register(self, handle: ctypes.c_void_p) -> None:
        """Call the Notify function, which writes *handle*, and check its result."""

    @abstractmethod
    def _push(self, sink: SinkOf[T], detail: Any, notification_type: int) -> None:
        """Push the notification of a callback. Called with the lock held."""

    def _check_registration(self, function: str, code: int) -> None:
        handle = self._handle
        if code or handle is None or handle.value is None:
            # After an error the handle is undefined, and must not be passed to
            # CancelMibChangeNotify2.
            self._handle = None
            raise BackendError(function, code or ERROR_INVALID_HANDLE)

    def notify(self, detail: Any, notification_type: int) -> None:
        """Push the notification of a callback. An exception fails the sink."""
        # No `with self._lock`: Ctrl-C can be raised after __enter__ has returned and before
        # the block begins. The lock would stay held, so the next callback would never
        # return, and CancelMibChangeNotify2 waits for callbacks.
        try:
            self._lock.acquire()
            try:
                sink = self._sink
                if sink is not None:
                    self._push(sink, detail, notification_type)
            except BaseException as error:  # noqa: BLE001 - ctypes would only print it
                self._fail(error)
        finally:
            try:  # noqa: SIM105 - Ctrl-C could be raised inside of suppress()
                self._lock.release()
            except RuntimeError:  # interrupted before the lock was acquired
                pass

    def _fail(self, error: BaseException) -> None:
        self._error = error  # raised by the constructor, if that is still running

        if not isinstance(error, BackendError):
            error = failure(self._callback_name, ERROR_INTERNAL_ERROR, "win32", error)

        sink = self._sink
        self._sink = None
        if sink is not None:
            sink.fail(error)

    def cancel(self) -> None:
        """Call CancelMibChangeNotify2, once even if an interrupted call is repeated.

        :raises BackendError: if the function returns an error
        """
        self._detach()
        cancel = self._native_cancel

        # Python runs signal handlers, which may raise KeyboardInterrupt, only at calls
        # and at the end of a loop's body. There is neither between the next line and
        # the native call. So the handle is None exactly if it has been cancelled, and a
        # second cancel() neither forgets it nor passes it to the system again.
        handle = self._handle
        self._handle = None

        # No lock is held here: the function waits for callbacks, and a callback waits for
        # the lock. It releases the GIL for the same reason (see _library._load()).
        code = 0 if handle is None or handle.value is None else cancel(handle)

        if code:
            raise BackendError("CancelMibChangeNotify2", code)

    def _detach(self) -> None:
        try:
            self._lock.acquire()  # waits for a push that is running
            self._sink = None
        finally:
            try:  # noqa: SIM105 - Ctrl-C could be raised inside of suppress()
                self._lock.release()
            except RuntimeError:  # interrupted before the lock was acquired
                pass
        _subscriptions.pop(self._token, None)


class ChangeSource(Protocol[T_co]):
    """The native functions that report the changes of a value."""

    @property
    def notify_name(self) -> str:
        """The name of the Notify function."""

    @property
    def callback_name(self) -> str:
        """The type of its callback in netioapi.h."""

    def notify(self, token: int, initial: bool, handle: Any) -> int:
        """Call the Notify function, and return its error code."""

    def cancel(self, handle: ctypes.c_void_p) -> int:
        """Call CancelMibChangeNotify2, and return its error code."""

    def read(self) -> T_co:
        """Return the current value."""

    def value(self, detail: Any) -> T_co:
        """Return the value that a callback with the argument *detail* reports."""


class ChangeSubscription(NativeSubscription[T]):
    """A registration for the changes of a value."""

    def __init__(self, source: ChangeSource[T], sink: SinkOf[T], initial: bool) -> None:
        self._source = source
        self._initial_due = initial
        super().__init__(sink, source.cancel, source.callback_name)

    def _register(self, handle: ctypes.c_void_p) -> None:
        initial = self._initial_due
        code = self._source.notify(self._token, initial, ctypes.byref(handle))
        self._check_registration(self._source.notify_name, code)

        if initial:
            # Push the initial value, unless the system's initial callback has come already.
            self.notify(None, INITIAL)

    def _push(self, sink: SinkOf[T], detail: Any, notification_type: int) -> None:
        if self._initial_due:
            # A change can come before the initial callback. The initial event must still
            # be the first one. Its detail, 0 or NULL, means nothing.
            self._initial_due = False
            sink.push(self._source.read(), INITIAL)
        if notification_type != INITIAL:
            sink.push(self._source.value(detail), notification_type)
