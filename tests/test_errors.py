"""The exceptions."""

from __future__ import annotations

import copy
import errno
import pickle
import sys
from collections.abc import Callable
from typing import Literal

import pytest

from aioteredo import BackendError, BackendUnavailableError, TeredoError


def test_one_tree() -> None:
    """``except TeredoError`` catches all of them; a BackendError is an OSError too."""
    assert issubclass(BackendError, TeredoError)
    assert issubclass(BackendUnavailableError, TeredoError)
    assert issubclass(BackendError, OSError)


@pytest.mark.parametrize(
    ("code", "symbol", "number"),
    [
        (6, "ERROR_INVALID_HANDLE", errno.EBADF),
        (8, "ERROR_NOT_ENOUGH_MEMORY", errno.ENOMEM),
        (87, "ERROR_INVALID_PARAMETER", errno.EINVAL),
    ],
)
def test_windows_code(code: int, symbol: str, number: int) -> None:
    """A Windows code carries its symbol, its message and the errno that goes with it."""
    error = BackendError("NotifyTeredoPortChange", code)
    assert (error.function, error.code) == ("NotifyTeredoPortChange", code)
    assert (error.symbol, error.winerror, error.errno) == (symbol, code, number)
    assert error.strerror
    assert str(error) == (
        f"NotifyTeredoPortChange: [WinError {code}] {symbol} {error.strerror}"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has FormatMessage")
def test_message_without_format_message() -> None:
    """Where there is no FormatMessage, the message is Microsoft's English one."""
    assert BackendError("f", 87).strerror == "The parameter is incorrect."


def test_unknown_windows_code() -> None:
    """A code without a name here is still told by its number."""
    error = BackendError("GetTeredoPort", 0x2FFF_FFFF)
    assert error.symbol is None
    assert str(error).startswith("GetTeredoPort: [WinError 805306367]")


def test_errno_code() -> None:
    """The table decides what a number means: 87 is another error in errno's."""
    error = BackendError("sendto", errno.EBADF, "errno")
    assert (error.errno, error.symbol) == (errno.EBADF, "EBADF")
    assert error.winerror is None
    assert str(error).startswith(f"sendto: [Errno {errno.EBADF}] EBADF ")


@pytest.mark.parametrize("duplicate", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize("table", ["win32", "errno"])
def test_survives_pickling(
    duplicate: Callable[[BackendError], BackendError], table: Literal["win32", "errno"]
) -> None:
    """An error that crosses a process boundary keeps all that it says."""
    error = BackendError("GetTeredoPort", 87, table)
    error.add_note("a note")
    twin = duplicate(error)
    assert type(twin) is BackendError
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)
    assert (twin.errno, twin.winerror) == (error.errno, error.winerror)
