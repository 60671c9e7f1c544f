"""The three functions of iphlpapi.dll, as ctypes calls them."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, Final, NamedTuple

from .._errors import BackendUnavailableError

_LOAD_LIBRARY_SEARCH_SYSTEM32: Final = 0x800  # libloaderapi.h

# VOID WINAPI callback(PVOID CallerContext, USHORT Port, MIB_NOTIFICATION_TYPE)
_PROTOTYPE: Final = (None, ctypes.c_void_p, ctypes.c_ushort, ctypes.c_int)
if sys.platform == "win32":  # pragma: no cover - coverage is measured on Linux
    CALLBACK: Final = ctypes.WINFUNCTYPE(*_PROTOTYPE)
else:  # a library with the same functions has the calling convention of its platform
    CALLBACK: Final = ctypes.CFUNCTYPE(*_PROTOTYPE)


class Functions(NamedTuple):
    """The functions, which return a Win32 error code, or 0."""

    notify_teredo_port_change: Any
    get_teredo_port: Any
    cancel_mib_change_notify2: Any


def load(library: str | os.PathLike[str] | None) -> Functions:
    """Load the functions from *library*, or from the system's iphlpapi.dll.

    :raises BackendUnavailableError: if the library cannot be loaded, if it lacks one of
        the functions, or if the system is not Windows and *library* is None
    """
    name = "iphlpapi.dll" if library is None else os.fspath(library)
    dll = _load(name, system=library is None)
    try:
        notify = dll.NotifyTeredoPortChange
        get = dll.GetTeredoPort
        cancel = dll.CancelMibChangeNotify2
    except AttributeError as error:
        raise BackendUnavailableError(
            f"{name} lacks one of the Teredo functions of Windows Vista and later "
            f"({error}); use another backend"
        ) from error

    notify.argtypes = (
        CALLBACK,
        ctypes.c_void_p,
        ctypes.c_ubyte,  # BOOLEAN is one byte
        ctypes.POINTER(ctypes.c_void_p),
    )
    get.argtypes = (ctypes.POINTER(ctypes.c_ushort),)
    cancel.argtypes = (ctypes.c_void_p,)
    for function in (notify, get, cancel):
        function.restype = ctypes.c_uint32  # DWORD
    return Functions(notify, get, cancel)


def _load(name: str, *, system: bool) -> ctypes.CDLL:
    # WinDLL and CDLL release the GIL during a call. PyDLL does not, and would deadlock:
    # CancelMibChangeNotify2 waits for callbacks, and these wait for the GIL. A new object
    # for each backend, because `ctypes.windll` shares the prototypes of its functions with
    # the whole program.
    try:
        if sys.platform == "win32":  # pragma: no cover - coverage is measured on Linux
            # From System32 only. A file of this name in the program's directory or in the
            # current directory could be an attack.
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


def refuse_subinterpreter() -> None:
    """Raise an error in every interpreter but the main one.

    :raises BackendUnavailableError: in a subinterpreter
    """
    interpreter = ctypes.PYFUNCTYPE(ctypes.c_void_p)
    current = interpreter(("PyInterpreterState_Get", ctypes.pythonapi))
    main = interpreter(("PyInterpreterState_Main", ctypes.pythonapi))
    if current() != main():
        # CPython runs a callback of a native thread in the main interpreter, even if
        # another interpreter has made the callback. Using objects of another interpreter
        # aborts the process.
        raise BackendUnavailableError(
            "the iphlpapi backend cannot work in a subinterpreter, because CPython runs "
            "the callbacks of native threads in the main interpreter; use it there "
            "(with mod_wsgi: WSGIApplicationGroup %{GLOBAL}), or use another backend"
        )
