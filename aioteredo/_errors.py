"""The exceptions, and the error codes that the native functions return."""

# TeredoError
# ├── BackendUnavailableError    the backend cannot work on this system
# │   └── NoDefaultBackendError  no backend is chosen, and there is no default one
# └── BackendError (OSError)     a native function returned an error
#     └── BackendFailedError     the backend failed during a watch (in _backend_failed.py)

# No `from __future__ import annotations`, which makes strings of the annotations. @public
# lets the classes say that they belong to `aioteredo`. typing.get_type_hints() would look
# there for the names in the strings, and would not find most of them.

import errno
import os
import sys
from typing import Any, Final, Literal

from ._public import public

ERROR_INVALID_HANDLE: Final = 6
ERROR_NOT_READY: Final = 21
ERROR_NOT_SUPPORTED: Final = 50
ERROR_NOT_FOUND: Final = 1168
ERROR_INTERNAL_ERROR: Final = 1359

# The symbol, the text of FormatMessage, and the errno of CPython's errmap.h for each code.
#
# Microsoft's pages list two sets of codes for NotifyTeredoPortChange, GetTeredoPort and
# CancelMibChangeNotify2. In user mode, where Python runs, these functions return a Win32
# code as their result, and do not set GetLastError. The texts are repeated here because
# only Windows has FormatMessage.
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


@public
class TeredoError(Exception):
    """The base class of all errors that this package defines.

    Misuse of a stream raises the classes of anyio instead, such as
    :exc:`anyio.ClosedResourceError`.
    """


@public
class BackendUnavailableError(TeredoError):
    """The backend cannot work here. The text says why, and what to do."""


class NoDefaultBackendError(BackendUnavailableError):
    """No backend is chosen, and this platform has no default one.

    :param usable: the names of the backends that can be used here
    """

    def __init__(self, *usable: str) -> None:
        super().__init__(*usable)

    def __str__(self) -> str:
        return self.describe("the argument backend, use_backend()")

    def describe(self, way: str) -> str:
        """Return the text of the error.

        :param way: the ways in which the reader can choose a backend, besides the
            environment variable
        """
        choices = ", ".join(map(repr, self.args))
        return (
            f"there is no default Teredo backend on {sys.platform}; choose one with {way} "
            f"or AIOTEREDO_BACKEND; usable here: {choices or 'none'}"
        )


@public
class BackendError(TeredoError, OSError):
    """A native function of a backend returned an error.

    :param function: the name of the native function, as its documentation spells it
    :param code: the error code that the function returned
    :param table: the kind of code: ``"win32"`` (a Windows system error code) or
        ``"errno"``. One number has two meanings: 87 is ERROR_INVALID_PARAMETER in the
        first table, and EUSERS in the second.

    On every platform, ``errno`` is an errno value and ``strerror`` the system's message.
    """

    function: str
    """The name of the native function."""

    code: int
    """The error code that the function returned."""

    table: Literal["win32", "errno"]
    """The kind of code."""

    symbol: str | None
    """The name of the code, such as ``"ERROR_INVALID_PARAMETER"``, or None if unknown."""

    if sys.platform != "win32":  # pragma: no branch - coverage is measured on Linux
        winerror: int | None
        """The Windows error code, or None if the code is an errno."""

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
        if sys.platform != "win32":  # pragma: no branch - coverage is measured on Linux
            self.winerror = code if table == "win32" else None

        self.function = function
        self.code = code
        self.table = table

    def __str__(self) -> str:
        kind = "WinError" if self.table == "win32" else "Errno"
        parts = [f"{self.function}: [{kind} {self.code}]", self.symbol, self.strerror]
        return " ".join(part for part in parts if part)

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError.__reduce__() would call this class with the arguments of OSError.
        return type(self), (self.function, self.code, self.table), self.__dict__


def failure(
    function: str, code: int, table: Literal["win32", "errno"], cause: BaseException
) -> BackendError:
    """Return the BackendError of a subscription that any exception has ended.

    A sink accepts only a BackendError, so *cause* becomes the ``__cause__`` of the error.
    """
    error = BackendError(function, code, table)
    error.__cause__ = cause
    return error


def _format_message(code: int) -> str:
    if sys.platform == "win32":  # pragma: no cover - coverage is measured on Linux
        # Imported here, because ctypes takes time to import, and errors are rare.
        import ctypes

        text = ctypes.FormatError(code)
        return "" if text == "<no description>" else text.strip()
    return ""
