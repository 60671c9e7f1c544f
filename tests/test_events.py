"""What a stream yields."""

from __future__ import annotations

import pickle
from unittest import mock

import pytest

from aioteredo import NotificationType, PortEvent


def test_equal_whenever_taken() -> None:
    """The time of an event is no part of its equality or hash."""
    first, second = PortEvent(1, monotonic_ns=1), PortEvent(1, monotonic_ns=2)
    assert first == second
    assert not first != second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    "other", [PortEvent(2), PortEvent(1, 3), PortEvent(1, missed=1), (1, 0, 0, 0), None]
)
def test_unequal_if_it_says_something_else(other: object) -> None:
    """Each other field counts, and an event is no ordinary tuple."""
    assert PortEvent(1) != other
    assert not PortEvent(1) == other


def test_compared_with_what_compares_itself() -> None:
    """What knows how to compare itself with anything is asked, like ``mock.ANY``."""
    assert PortEvent(1) == mock.ANY
    assert not PortEvent(1) != mock.ANY


def test_failed_assertion_names_the_field() -> None:
    """Of two events that differ, a test shows the fields that make them unequal."""
    with pytest.raises(AssertionError) as raised:
        assert PortEvent(1, missed=2, monotonic_ns=5) == PortEvent(1, monotonic_ns=6)
    assert [line.strip() for line in str(raised.value).splitlines()[1:]] == [
        "missed: 2 != 0"
    ]


def test_failed_assertion_names_the_event_and_the_field() -> None:
    """Of two lists of events, a test shows the same with the index of each event."""
    event = PortEvent(1, monotonic_ns=5)
    with pytest.raises(AssertionError) as raised:
        assert [event, event, event] == [PortEvent(1), PortEvent(2, 3)]
    assert [line.strip() for line in str(raised.value).splitlines()[1:]] == [
        "3 events, not 2",
        "[1].port: 1 != 2",
        "[1].notification_type: <NotificationType.PARAMETER: 0> != 3",
    ]


def test_immutable() -> None:
    """An event cannot be changed."""
    with pytest.raises(AttributeError):
        PortEvent(1).port = 2  # type: ignore[misc]


def test_pickles() -> None:
    """An event can be sent to another process."""
    event = PortEvent(1, NotificationType.INITIAL, 2, 3)
    assert tuple(pickle.loads(pickle.dumps(event))) == tuple(event)


def test_notification_types_are_the_systems() -> None:
    """The numbers are those of MIB_NOTIFICATION_TYPE."""
    assert {t.name: t.value for t in NotificationType} == {
        "PARAMETER": 0,
        "ADD": 1,
        "DELETE": 2,
        "INITIAL": 3,
    }
