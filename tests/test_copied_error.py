"""An exception object for each task that gets the same failure."""

from __future__ import annotations

import pytest

from aioteredo import BackendError
from aioteredo._copied_error import copy_error

ERRORS = [
    BackendError("GetTeredoPort", 31),
    BackendError("GetTeredoPort", 0x2FFF_FFFF),
    BackendError("recv(AF_NETLINK)", 9, "errno"),
]


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_copy_says_the_same(error: BackendError) -> None:
    """A copy is another object with the same class, text, numbers and attributes."""
    copied = copy_error(error)
    assert copied is not error
    assert type(copied) is BackendError
    assert str(copied) == str(error)
    assert copied.args == error.args
    for name in ("function", "code", "table", "symbol", "errno", "strerror", "winerror"):
        assert getattr(copied, name) == getattr(error, name)


def test_copy_keeps_attributes_that_were_added() -> None:
    """Attributes beyond those of the class are copied, and are then independent."""
    error = BackendError("GetTeredoPort", 31)
    error.machine = "mine"  # type: ignore[attr-defined]
    copied = copy_error(error)
    assert copied.machine == "mine"  # type: ignore[attr-defined]
    copied.machine = "another"  # type: ignore[attr-defined]
    assert error.machine == "mine"  # type: ignore[attr-defined]


@pytest.mark.parametrize("suppress", [False, True])
def test_copy_keeps_the_cause_and_whether_the_context_is_hidden(suppress: bool) -> None:
    """The cause is the same object; ``raise ... from None`` stays what it was."""
    error = BackendError("GetTeredoPort", 31)
    assert copy_error(error).__cause__ is None
    assert not copy_error(error).__suppress_context__
    error.__cause__ = ZeroDivisionError()
    error.__suppress_context__ = suppress
    assert copy_error(error).__cause__ is error.__cause__
    assert copy_error(error).__suppress_context__ is suppress


def test_copy_has_notes_of_its_own() -> None:
    """A note that is added to one of them is not on the other."""
    error = BackendError("GetTeredoPort", 31)
    error.add_note("first")
    copied = copy_error(error)
    copied.add_note("second")
    assert error.__notes__ == ["first"]
    assert copied.__notes__ == ["first", "second"]


def test_copy_of_a_raised_error_has_neither_traceback_nor_context() -> None:
    """The places where the original was raised say nothing about the copy."""
    try:
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            raise BackendError("GetTeredoPort", 31)  # noqa: B904 - for its context
    except BackendError as error:
        copied = copy_error(error)
    assert copied.__traceback__ is None
    assert copied.__context__ is None


def test_copy_of_a_subclass_with_other_parameters_is_of_that_class() -> None:
    """A backend's own class needs no ``__reduce__`` for this."""

    class RefusedError(BackendError):
        def __init__(self, reason: str) -> None:
            super().__init__("Refused", 13, "errno")
            self.reason = reason

    copied = copy_error(RefusedError("closed"))
    assert type(copied) is RefusedError
    assert (copied.reason, copied.function, copied.errno) == ("closed", "Refused", 13)
