"""The Windows IP Helper: NotifyTeredoPortChange, GetTeredoPort, CancelMibChangeNotify2.

What is not documented is not relied upon. The initial callback may come before Notify
has returned, and so before the handle is written; on the calling thread or another;
late; or never. A callback may come after its watch is gone. Hence:

* There is one callback for ctypes, made at import and never freed. *CallerContext* is
  a number into a table of subscriptions, so a late callback finds nothing there, and
  no memory is ever released under a callback that runs.
* One lock per subscription makes "read the port, number the event, append it" one step
  for all threads, and the initial event the first, whatever comes first. Cancelling
  detaches the sink under it, so that nothing is pushed afterwards whatever
  CancelMibChangeNotify2 says; it then calls that function with no lock held, because it
  blocks until the callbacks in flight have returned.
* The functions are called through WinDLL or CDLL, which release the GIL: a callback
  needs the GIL to return, and with PyDLL cancelling would wait for it for ever.
* The callback uses neither threading nor logging beyond a bare lock: before Python 3.13
  both would keep a dummy thread object for each thread of the system's pool.

Sources, all at learn.microsoft.com/windows/win32/api/netioapi: the pages
nf-netioapi-notifyteredoportchange, nf-netioapi-getteredoport and
nf-netioapi-cancelmibchangenotify2.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
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
)
from .._events import NotificationType

# VOID WINAPI callback(PVOID CallerContext, USHORT Port, MIB_NOTIFICATION_TYPE)
_PROTOTYPE: Final = (None, ctypes.c_void_p, ctypes.c_ushort, ctypes.c_int)
if sys.platform == "win32":  # pragma: no cover - measured on Linux
    _CALLBACK: Final = ctypes.WINFUNCTYPE(*_PROTOTYPE)
else:  # a library with the same exports, which has the platform's own convention
    _CALLBACK: Final = ctypes.CFUNCTYPE(*_PROTOTYPE)

_DWORD: Final = ctypes.c_uint32
_INITIAL: Final = NotificationType.INITIAL.value  # a member's lookup costs 60 ns here
_LOAD_LIBRARY_SEARCH_SYSTEM32: Final = 0x800

_tokens = itertools.count(1)
_subscriptions: Final[dict[int, _Subscription]] = {}


def _on_port_change(context: int, port: int, notification_type: int) -> None:
    subscription = _subscriptions.get(context)
    if subscription is not None:
        subscription.notify(port, notification_type)


_callback: Final = _CALLBACK(_on_port_change)
# Kept beyond the end of the interpreter too, which frees what modules hold.
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_callback))


class IphlpapiBackend:
    """The Teredo client of Windows, Vista and later.

    :param library: the path of a library to use instead of the system's, on any
        platform: any with the same three exports
    :raises BackendUnavailableError: if this isn't Windows and no *library* is given,
        if the library cannot be loaded, if it lacks one of the functions, or if this
        is a subinterpreter
    """

    def __init__(self, library: str | os.PathLike[str] | None = None) -> None:
        _refuse_subinterpreter()
        name = "iphlpapi.dll" if library is None else os.fspath(library)
        dll = _load(name, system=library is None)
        try:
            notify, get = dll.NotifyTeredoPortChange, dll.GetTeredoPort
            cancel = dll.CancelMibChangeNotify2
        except AttributeError as error:
            raise BackendUnavailableError(
                f"{name} lacks one of the Teredo functions of Windows Vista and later "
                f"({error}); use another backend"
            ) from error
        notify.argtypes = (
            _CALLBACK,
            ctypes.c_void_p,
            ctypes.c_ubyte,  # BOOLEAN is one byte
            ctypes.POINTER(ctypes.c_void_p),
        )
        get.argtypes = (ctypes.POINTER(ctypes.c_ushort),)
        cancel.argtypes = (ctypes.c_void_p,)
        for function in (notify, get, cancel):
            function.restype = _DWORD
        self._notify, self._get, self._cancel = notify, get, cancel

    def get_port(self) -> int | None:
        """Call GetTeredoPort.

        :return: the port, or None: the Teredo client has not been started, or IPv6 is
            off
        :raises BackendUnavailableError: if this system has no IPv6
        :raises BackendError: if the function fails otherwise
        """
        port = ctypes.c_ushort()
        code = self._get(ctypes.byref(port))
        if code in (ERROR_NOT_READY, ERROR_NOT_FOUND):
            return None
        if code == ERROR_NOT_SUPPORTED:
            raise BackendUnavailableError(
                "GetTeredoPort: ERROR_NOT_SUPPORTED: this system has no IPv6 stack; "
                "enable IPv6 or use another backend"
            )
        if code:
            raise BackendError("GetTeredoPort", code)
        return port.value or None

    def subscribe(self, sink: Sink, *, initial: bool) -> _Subscription:
        """Call NotifyTeredoPortChange.

        :raises BackendError: if the function fails, or the initial port cannot be read
        :raises BackendUnavailableError: if *initial* finds that there is no IPv6
        """
        return _Subscription(self, sink, initial)


class _Subscription:
    def __init__(self, api: IphlpapiBackend, sink: Sink, initial: bool) -> None:
        self._api = api
        self._sink: Sink | None = sink
        self._initial_due = initial
        self._error: BaseException | None = None
        # Reentrant only because it then knows whether this thread holds it.
        self._lock = threading.RLock()
        self._token = next(_tokens)
        self._handle: ctypes.c_void_p | None = ctypes.c_void_p()
        _subscriptions[self._token] = self
        try:
            self._register(self._handle, initial)
        except BaseException as error:
            # Also Ctrl-C right after the native call has returned: the caller gets no
            # subscription to cancel, so it must not stay registered.
            try:
                self.cancel()
            except BackendError as refused:
                error.add_note(f"while cancelling: {refused}")
            raise

    def _register(self, handle: ctypes.c_void_p, initial: bool) -> None:
        code = self._api._notify(_callback, self._token, initial, ctypes.byref(handle))
        if code or handle.value is None:
            # An error's handle means nothing, and without a handle there is nothing
            # that could be cancelled.
            self._handle = None
            raise BackendError("NotifyTeredoPortChange", code or ERROR_INVALID_HANDLE)
        if initial:
            self.notify(0, _INITIAL)
        error, self._error = self._error, None
        if error is not None:
            raise error

    def notify(self, port: int, notification_type: int) -> None:
        """Push what a callback said. An exception would end in ctypes: it fails the sink.

        The port that comes with the initial notification is always 0 and says nothing.
        """
        # No `with self._lock`: it takes longer on CPython 3.11, and Ctrl-C can be raised
        # after __enter__ has returned and before the block begins. The lock would stay
        # held, and the next callback, and so CancelMibChangeNotify2, would never return.
        try:
            self._lock.acquire()
            try:
                sink = self._sink
                if sink is None:
                    return
                if self._initial_due:
                    # before a change that the system tells first: it is the first event
                    self._initial_due = False
                    sink.push(self._api.get_port(), _INITIAL)
                if notification_type != _INITIAL:
                    sink.push(port or None, notification_type)
            except BaseException as error:  # noqa: BLE001 - else ctypes drops it
                self._fail(error)
        finally:
            try:  # noqa: SIM105 - Ctrl-C could be raised inside of suppress()
                self._lock.release()
            except RuntimeError:  # interrupted before the lock was acquired
                pass

    def _fail(self, error: BaseException) -> None:
        self._error = error  # for the thread that subscribes, if it is still at it
        if not isinstance(error, BackendError):
            cause = error
            error = BackendError("PTEREDO_PORT_CHANGE_CALLBACK", ERROR_INTERNAL_ERROR)
            error.__cause__ = cause
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.fail(error)

    def cancel(self) -> None:
        """Call CancelMibChangeNotify2, once even if an interrupted call is repeated.

        :raises BackendError: if the function fails
        """
        self._detach()
        cancel = self._api._cancel

        # Python runs signal handlers, which may raise KeyboardInterrupt, only at calls
        # and at the end of a loop's body. There is neither between the next line and
        # the native call. So the handle is gone exactly if it has been cancelled, and
        # a second cancel() neither forgets it nor passes it to the system again.
        handle = self._handle
        self._handle = None
        code = 0 if handle is None or handle.value is None else cancel(handle)
        if code:
            raise BackendError("CancelMibChangeNotify2", code)

    def _detach(self) -> None:
        try:
            self._lock.acquire()  # no push is running, and none can start
            self._sink = None
        finally:
            try:  # noqa: SIM105 - Ctrl-C could be raised inside of suppress()
                self._lock.release()
            except RuntimeError:  # interrupted before the lock was acquired
                pass
        _subscriptions.pop(self._token, None)


def _refuse_subinterpreter() -> None:
    interpreter = ctypes.PYFUNCTYPE(ctypes.c_void_p)
    current = interpreter(("PyInterpreterState_Get", ctypes.pythonapi))
    main = interpreter(("PyInterpreterState_Main", ctypes.pythonapi))
    if current() != main():
        # CPython attaches a native thread to the main interpreter, whichever
        # interpreter made the callback. Objects of the wrong interpreter abort the
        # process.
        raise BackendUnavailableError(
            "the iphlpapi backend cannot work in a subinterpreter, because CPython runs "
            "the callbacks of native threads in the main interpreter; use it there "
            "(with mod_wsgi: WSGIApplicationGroup %{GLOBAL}), or use another backend"
        )


def _load(name: str, *, system: bool) -> ctypes.CDLL:
    # A library object of our own: the prototypes set on a shared one would be shared.
    try:
        if sys.platform == "win32":  # pragma: no cover - measured on Linux
            # only from System32, never from the program's own or the current directory
            mode = _LOAD_LIBRARY_SEARCH_SYSTEM32 if system else None
            return ctypes.WinDLL(name, winmode=mode)
        if not system:
            return ctypes.CDLL(name)
    except OSError as error:
        raise BackendUnavailableError(f"cannot load {name}: {error}") from error
    raise BackendUnavailableError(
        f"the iphlpapi backend needs Windows, and this is {sys.platform}; use another "
        "backend, or library=PATH for a library with the same functions"
    )
