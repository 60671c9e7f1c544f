"""The Windows IP Helper: NotifyTeredoPortChange, GetTeredoPort, CancelMibChangeNotify2.

The Microsoft pages are nf-netioapi-notifyteredoportchange, nf-netioapi-getteredoport and
nf-netioapi-cancelmibchangenotify2 at learn.microsoft.com/windows/win32/api/netioapi.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import threading
from typing import Final

from .._backend import Sink
from .._errors import (
    ERROR_INTERNAL_ERROR,
    ERROR_INVALID_HANDLE,
    ERROR_NOT_FOUND,
    ERROR_NOT_READY,
    ERROR_NOT_SUPPORTED,
    BackendError,
    BackendUnavailableError,
    failure,
)
from .._events import NotificationType
from .._public import public
from ._iphlpapi_library import CALLBACK, load, refuse_subinterpreter

# Microsoft's pages do not say when the initial callback comes, nor on which thread. It may
# come before NotifyTeredoPortChange has written the handle, later, or never. A callback may
# also come after CancelMibChangeNotify2. The code below works with each of these.

# A plain int, because reading the member of an enum takes time in each callback.
_INITIAL: Final = NotificationType.INITIAL.value

# There is one native callback, and CallerContext is a key of this table. A callback that
# comes after its subscription was cancelled finds no entry. If each subscription had a
# native callback, ctypes could free its memory while the system is still calling it.
_tokens = itertools.count(1)
_subscriptions: Final[dict[int, _IphlpapiSubscription]] = {}


def _on_port_change(caller_context: int, port: int, notification_type: int) -> None:
    # This must not use `logging` or `threading.current_thread()`. Before Python 3.13, both
    # would keep an object for each thread of the system that ever called.
    subscription = _subscriptions.get(caller_context)
    if subscription is not None:
        subscription.notify(port, notification_type)


_callback: Final = CALLBACK(_on_port_change)

# The system may call while the interpreter exits and frees the contents of its modules.
# This reference, which is never released, keeps the memory of the callback valid.
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_callback))


@public
class IphlpapiBackend:
    """The Teredo client of Windows, Vista and later.

    :param library: the path of a library with the same three functions, to use instead
        of the system's iphlpapi.dll, on any platform
    :raises BackendUnavailableError: if the system is not Windows and *library* is not
        given, if the library cannot be loaded or lacks one of the functions, or in a
        subinterpreter
    """

    def __init__(self, library: str | os.PathLike[str] | None = None) -> None:
        refuse_subinterpreter()
        functions = load(library)
        self._notify = functions.notify_teredo_port_change
        self._get = functions.get_teredo_port
        self._cancel = functions.cancel_mib_change_notify2

    def get_port(self) -> int | None:
        """Call GetTeredoPort.

        :return: the port, 1 to 65535, or None: the Teredo client has not been started, or
            IPv6 is disabled
        :raises BackendUnavailableError: if the system has no IPv6
        :raises BackendError: if the function returns another error
        """
        port = ctypes.c_ushort()
        code = self._get(ctypes.byref(port))

        if code in (ERROR_NOT_READY, ERROR_NOT_FOUND):
            return None
        if code == ERROR_NOT_SUPPORTED:
            raise BackendUnavailableError(
                "GetTeredoPort: ERROR_NOT_SUPPORTED: this system has no IPv6; enable IPv6 "
                "or use another backend"
            )
        if code:
            raise BackendError("GetTeredoPort", code)
        return port.value or None

    def subscribe(self, sink: Sink, *, initial: bool) -> _IphlpapiSubscription:
        """Call NotifyTeredoPortChange.

        :raises BackendError: if the function returns an error, or if the initial port
            cannot be read
        :raises BackendUnavailableError: if *initial* is true and the system has no IPv6
        """
        return _IphlpapiSubscription(self, sink, initial)


class _IphlpapiSubscription:
    def __init__(self, api: IphlpapiBackend, sink: Sink, initial: bool) -> None:
        self._api = api
        self._sink: Sink | None = sink  # None: cancelled or failed
        self._initial_due = initial
        self._error: BaseException | None = None
        self._handle: ctypes.c_void_p | None = ctypes.c_void_p()

        # Held while a callback reads the port and pushes, so that pushes never overlap and
        # the initial one is the first. An RLock, because only an RLock raises RuntimeError
        # if a thread releases it that does not hold it; notify() relies on that.
        self._lock = threading.RLock()

        self._token = next(_tokens)
        _subscriptions[self._token] = self
        try:
            self._register(self._handle, initial)
        except BaseException as error:
            # Even if Ctrl-C came after the native call: the caller gets no subscription
            # that it could cancel, so nothing may stay registered.
            try:
                self.cancel()
            except BackendError as refused:
                error.add_note(f"while cancelling: {refused}")
            raise

    def _register(self, handle: ctypes.c_void_p, initial: bool) -> None:
        code = self._api._notify(_callback, self._token, initial, ctypes.byref(handle))
        if code or handle.value is None:
            # After an error the handle is undefined, and must not be passed to
            # CancelMibChangeNotify2.
            self._handle = None
            raise BackendError("NotifyTeredoPortChange", code or ERROR_INVALID_HANDLE)

        if initial:
            # Push the initial port, unless the system's initial callback has come already.
            self.notify(0, _INITIAL)

        error = self._error
        self._error = None
        if error is not None:
            raise error

    def notify(self, port: int, notification_type: int) -> None:
        """Push the notification of a callback. An exception fails the sink.

        The port of the initial notification is always 0, and means nothing.
        """
        # No `with self._lock`: Ctrl-C can be raised after __enter__ has returned and before
        # the block begins. The lock would stay held, so the next callback would never
        # return, and CancelMibChangeNotify2 waits for callbacks.
        try:
            self._lock.acquire()
            try:
                sink = self._sink
                if sink is None:
                    return
                if self._initial_due:
                    # A change can come before the initial callback. The initial event
                    # must still be the first one.
                    self._initial_due = False
                    sink.push(self._api.get_port(), _INITIAL)
                if notification_type != _INITIAL:
                    sink.push(port or None, notification_type)
            except BaseException as error:  # noqa: BLE001 - ctypes would only print it
                self._fail(error)
        finally:
            try:  # noqa: SIM105 - Ctrl-C could be raised inside of suppress()
                self._lock.release()
            except RuntimeError:  # interrupted before the lock was acquired
                pass

    def _fail(self, error: BaseException) -> None:
        self._error = error  # raised by _register(), if that is still running

        if not isinstance(error, BackendError):
            error = failure(
                "PTEREDO_PORT_CHANGE_CALLBACK", ERROR_INTERNAL_ERROR, "win32", error
            )

        sink = self._sink
        self._sink = None
        if sink is not None:
            sink.fail(error)

    def cancel(self) -> None:
        """Call CancelMibChangeNotify2, once even if an interrupted call is repeated.

        :raises BackendError: if the function returns an error
        """
        self._detach()
        cancel = self._api._cancel

        # Python runs signal handlers, which may raise KeyboardInterrupt, only at calls
        # and at the end of a loop's body. There is neither between the next line and
        # the native call. So the handle is None exactly if it has been cancelled, and a
        # second cancel() neither forgets it nor passes it to the system again.
        handle = self._handle
        self._handle = None

        # No lock is held here: the function waits for callbacks, and a callback waits for
        # the lock. It releases the GIL for the same reason (see load()).
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
