"""Exceptions carry the function, the code, its symbol and the system's message."""

from __future__ import annotations

import copy
import errno
import pickle
import sys
from collections.abc import Callable
from typing import Literal

import pytest

from aioteredo import BackendError, BackendUnavailableError, TeredoError


def test_every_error_is_a_teredo_error() -> None:
    """A BackendError is an OSError as well."""
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
def test_windows_code_has_its_symbol_and_errno(code: int, symbol: str, number: int) -> None:
    """A Windows code has a symbol, a message and the errno that CPython maps it to."""
    error = BackendError("NotifyTeredoPortChange", code)
    assert (error.function, error.code) == ("NotifyTeredoPortChange", code)
    assert (error.symbol, error.winerror, error.errno) == (symbol, code, number)
    assert error.strerror
    assert str(error) == (
        f"NotifyTeredoPortChange: [WinError {code}] {symbol} {error.strerror}"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has FormatMessage")
def test_message_of_windows_code_is_in_english_on_other_systems() -> None:
    """Without FormatMessage, the message is the English text of Microsoft."""
    assert BackendError("f", 87).strerror == "The parameter is incorrect."


def test_unknown_windows_code_is_shown_as_a_number() -> None:
    """A code that the table does not know has no symbol, and its text shows the number."""
    error = BackendError("GetTeredoPort", 0x2FFF_FFFF)
    assert error.symbol is None
    assert str(error).startswith("GetTeredoPort: [WinError 805306367]")


def test_errno_has_no_windows_code() -> None:
    """An errno has its own symbol, and ``winerror`` is None."""
    error = BackendError("sendto", errno.EBADF, "errno")
    assert (error.errno, error.symbol) == (errno.EBADF, "EBADF")
    assert error.winerror is None
    assert str(error).startswith(f"sendto: [Errno {errno.EBADF}] EBADF ")


@pytest.mark.parametrize("duplicate", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize("table", ["win32", "errno"])
def test_copied_or_pickled_error_keeps_its_content(
    duplicate: Callable[[BackendError], BackendError], table: Literal["win32", "errno"]
) -> None:
    """The text, the attributes and the notes are the same."""
    error = BackendError("GetTeredoPort", 87, table)
    error.add_note("a note")
    twin = duplicate(error)

    assert type(twin) is BackendError
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)
    assert (twin.errno, twin.winerror) == (error.errno, error.winerror)
