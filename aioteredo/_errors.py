"""The exceptions, and the numbers a native function can return.

One tree, so that ``except TeredoError`` catches all that a Teredo client can do to
a program, while misuse of a stream raises anyio's own classes::

    TeredoError
    ├── BackendUnavailableError    this backend cannot work on this system
    └── BackendError (OSError)     a native function returned an error
        └── BackendFailedError     the backend failed while it was watched; this one
                                   is anyio's BrokenResourceError as well

The Microsoft pages list two sets of codes for the three functions. In *kernel mode*
they return NTSTATUS values (``STATUS_INVALID_PARAMETER``). In *user mode*, which is
where Python runs, they return the Win32 codes below, and they do so directly:
``GetLastError`` is not set. Texts and errno values are kept here as well, because
FormatMessage exists on Windows only and Wine's texts differ from Microsoft's.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, Final, Literal

ERROR_INVALID_HANDLE: Final = 6
ERROR_NOT_READY: Final = 21
ERROR_NOT_SUPPORTED: Final = 50
ERROR_NOT_FOUND: Final = 1168
ERROR_INTERNAL_ERROR: Final = 1359

# code: symbol, FormatMessage's text, the errno that CPython's errmap.h gives it
_WIN32: Final = {
    5: ("ERROR_ACCESS_DENIED", "Access is denied.", errno.EACCES),
    6: ("ERROR_INVALID_HANDLE", "The handle is invalid.", errno.EBADF),
    8: (
        "ERROR_NOT_ENOUGH_MEMORY",
        "Not enough memory resources are available to process this command.",
        errno.ENOMEM,
    ),
    21: ("ERROR_NOT_READY", "The device is not ready.", errno.EACCES),
    31: (
        "ERROR_GEN_FAILURE",
        "A device attached to the system is not functioning.",
        errno.EACCES,
    ),
    50: ("ERROR_NOT_SUPPORTED", "The request is not supported.", errno.EINVAL),
    87: ("ERROR_INVALID_PARAMETER", "The parameter is incorrect.", errno.EINVAL),
    120: (
        "ERROR_CALL_NOT_IMPLEMENTED",
        "This function is not supported on this system.",
        errno.EINVAL,
    ),
    1062: (
        "ERROR_SERVICE_NOT_ACTIVE",
        "The service has not been started.",
        errno.EINVAL,
    ),
    1168: ("ERROR_NOT_FOUND", "Element not found.", errno.EINVAL),
    1359: ("ERROR_INTERNAL_ERROR", "An internal error occurred.", errno.EINVAL),
}


class TeredoError(Exception):
    """Base class of every error that this package defines."""


class BackendUnavailableError(TeredoError):
    """The backend cannot work here: the text says why, and what to do instead."""


class BackendError(TeredoError, OSError):
    """A native function of a backend returned an error.

    :param function: the native function, as its documentation spells it
    :param code: the number that it returned
    :param table: where the number is from: ``"win32"`` (a Windows system error
        code) or ``"errno"``. The same number means different things: 87 is
        ERROR_INVALID_PARAMETER in one and EUSERS in the other.

    ``symbol`` is the number's name (``"ERROR_INVALID_PARAMETER"``) or None if it has
    none here; ``strerror`` is the system's message. ``errno`` is always an errno value
    and ``winerror`` is the Windows code, on every platform, or None with an errno.
    """

    function: str
    code: int
    table: Literal["win32", "errno"]
    symbol: str | None
    if sys.platform != "win32":  # pragma: no branch - measured on Linux
        winerror: int | None

    def __init__(
        self, function: str, code: int, table: Literal["win32", "errno"] = "win32"
    ) -> None:
        if table == "errno":
            super().__init__(code, os.strerror(code))
            self.symbol = errno.errorcode.get(code)
        else:
            symbol, text, number = _WIN32.get(code, (None, "", errno.EINVAL))
            super().__init__(number, _format_message(code) or text, None, code)
            self.symbol = symbol
        if sys.platform != "win32":  # pragma: no branch - measured on Linux
            self.winerror = code if table == "win32" else None
        self.function, self.code, self.table = function, code, table

    def __str__(self) -> str:
        kind = "WinError" if self.table == "win32" else "Errno"
        parts = [f"{self.function}: [{kind} {self.code}]", self.symbol, self.strerror]
        return " ".join(part for part in parts if part)

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError's own would call the class with OSError's arguments
        return type(self), (self.function, self.code, self.table), self.__dict__


def _format_message(code: int) -> str:
    if sys.platform == "win32":  # pragma: no cover - measured on Linux
        import ctypes  # an error is rare, and ctypes is not light

        text = ctypes.FormatError(code)
        return "" if text == "<no description>" else text.strip()
    return ""
