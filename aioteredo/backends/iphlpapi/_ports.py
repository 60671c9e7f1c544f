"""The functions for the port: NotifyTeredoPortChange and GetTeredoPort."""

from __future__ import annotations

import ctypes
from typing import Any, Final

from ..._errors import ERROR_NOT_FOUND, ERROR_NOT_READY
from ._library import CALLBACK, Library, reading_error
from ._subscription import on_notification, permanent

# VOID WINAPI callback(PVOID CallerContext, USHORT Port, MIB_NOTIFICATION_TYPE)
_CALLBACK_TYPE: Final = CALLBACK(None, ctypes.c_void_p, ctypes.c_ushort, ctypes.c_int)
_callback: Final = permanent(_CALLBACK_TYPE(on_notification))


class PortFunctions:
    """The functions of *library* for the port.

    :raises BackendUnavailableError: if the library lacks one of them
    """

    notify_name = "NotifyTeredoPortChange"
    callback_name = "PTEREDO_PORT_CHANGE_CALLBACK"

    def __init__(self, library: Library) -> None:
        self._notify = library.function(
            self.notify_name,
            _CALLBACK_TYPE,
            ctypes.c_void_p,
            ctypes.c_ubyte,  # BOOLEAN is one byte
            ctypes.POINTER(ctypes.c_void_p),
        )
        self._get = library.function("GetTeredoPort", ctypes.POINTER(ctypes.c_ushort))
        self.cancel = library.function("CancelMibChangeNotify2", ctypes.c_void_p)

    def notify(self, token: int, initial: bool, handle: Any) -> int:
        """Call NotifyTeredoPortChange, and return its error code."""
        code: int = self._notify(_callback, token, initial, handle)
        return code

    def read(self) -> int | None:
        """Call GetTeredoPort. See :meth:`IphlpapiBackend.get_port`."""
        port = ctypes.c_ushort()
        code = self._get(ctypes.byref(port))

        if code in (ERROR_NOT_READY, ERROR_NOT_FOUND):
            return None
        if code:
            raise reading_error("GetTeredoPort", code)
        return port.value or None

    def value(self, port: int) -> int | None:
        """Return the port that a callback has brought; 0 means that there is none."""
        return port or None
