"""iphlpapi.dll, or a library with the same functions, as ctypes loads it."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, Final

from ..._errors import ERROR_NOT_SUPPORTED, BackendError, BackendUnavailableError

_LOAD_LIBRARY_SEARCH_SYSTEM32: Final = 0x800  # libloaderapi.h

# A function that makes the type of a callback. A library on another platform than Windows
# has the calling convention of that platform.
if sys.platform == "win32":  # pragma: no cover - coverage is measured on Linux
    CALLBACK: Final = ctypes.WINFUNCTYPE
else:
    CALLBACK: Final = ctypes.CFUNCTYPE


class Library:
    """A loaded library.

    :param path: the path of the library, or None for the system's iphlpapi.dll
    :raises BackendUnavailableError: if the library cannot be loaded, or if the system is
        not Windows and *path* is None
    """

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._name = "iphlpapi.dll" if path is None else os.fspath(path)
        self._dll = _load(self._name, system=path is None)

    @property
    def handle(self) -> int:
        """The number by which the process knows the library."""
        return self._dll._handle

    def function(self, name: str, *argtypes: Any, restype: Any = ctypes.c_uint32) -> Any:
        """Return a function, which by default returns a Win32 error code (DWORD).

        :raises BackendUnavailableError: if the library does not export the function
        """
        try:
            # A new object, with a prototype of its own. The object of an attribute would
            # be shared by all users of the library object.
            function = self._dll[name]
        except AttributeError as error:
            raise BackendUnavailableError(
                f"{self._name} lacks {name}, a function of Windows Vista and later; use "
                "another backend"
            ) from error

        function.argtypes = argtypes
        function.restype = restype
        return function


def _load(name: str, *, system: bool) -> ctypes.CDLL:
    # WinDLL and CDLL release the GIL during a call. PyDLL does not, and would deadlock:
    # CancelMibChangeNotify2 waits for callbacks, and these wait for the GIL.
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


def reading_error(function: str, code: int) -> BackendError | BackendUnavailableError:
    """Return the exception for the error code of a function that reads a value."""
    if code == ERROR_NOT_SUPPORTED:
        return BackendUnavailableError(
            f"{function}: ERROR_NOT_SUPPORTED: this system has no IPv6; enable IPv6 or use "
            "another backend"
        )
    return BackendError(function, code)


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
