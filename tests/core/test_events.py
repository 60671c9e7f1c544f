"""Events compare by their content, are immutable, and can be pickled."""

from __future__ import annotations

import pickle
from unittest import mock

import pytest

from aioteredo import AddressEvent, NotificationType, PortEvent

from ..support.kinds import Kind


def test_events_of_different_times_are_equal(kind: Kind) -> None:
    """``monotonic_ns`` is not part of an event's equality or hash."""
    first = kind.event(1, 0, 0, 1)
    second = kind.event(1, 0, 0, 2)
    assert first == second
    assert not first != second
    assert hash(first) == hash(second)


@pytest.mark.parametrize("fields", [(2,), (1, 3), (1, 0, 1)])
def test_events_that_differ_in_another_field_are_unequal(
    kind: Kind, fields: tuple[int, ...]
) -> None:
    """Each other field is part of equality."""
    assert kind.event(1) != kind.event(*fields)
    assert not kind.event(1) == kind.event(*fields)


def test_event_never_equals_an_object_of_another_class(kind: Kind) -> None:
    """A plain tuple, and an event of another kind, are not equal to an event."""
    event = kind.event(1)
    others: list[object] = [tuple(event), None]
    others += [cls(*event) for cls in (PortEvent, AddressEvent) if cls is not type(event)]

    for other in others:
        assert event != other
        assert not event == other


def test_event_equals_an_object_that_equals_everything(kind: Kind) -> None:
    """The comparison method of ``mock.ANY`` decides."""
    assert kind.event(1) == mock.ANY
    assert not kind.event(1) != mock.ANY


def test_failed_assertion_about_an_event_names_the_field(kind: Kind) -> None:
    """The message of a failed test shows the fields that differ, but not the time."""
    with pytest.raises(AssertionError) as raised:
        assert kind.event(1, missed=2, monotonic_ns=5) == kind.event(1, monotonic_ns=6)
    assert [line.strip() for line in str(raised.value).splitlines()[1:]] == [
        "missed: 2 != 0"
    ]


def test_failed_assertion_about_a_list_names_the_event_and_the_field() -> None:
    """If two lists of events differ, the message shows the index and the fields."""
    event = PortEvent(1, monotonic_ns=5)
    with pytest.raises(AssertionError) as raised:
        assert [event, event, event] == [PortEvent(1), PortEvent(2, 3)]

    assert [line.strip() for line in str(raised.value).splitlines()[1:]] == [
        "3 events, not 2",
        "[1].port: 1 != 2",
        "[1].notification_type: <NotificationType.PARAMETER: 0> != 3",
    ]


def test_setting_a_field_raises() -> None:
    """An event is immutable."""
    with pytest.raises(AttributeError):
        PortEvent(1).port = 2  # type: ignore[misc]


def test_pickled_event_keeps_its_content(kind: Kind) -> None:
    """All fields of the copy are the same, even the time."""
    event = kind.event(1, NotificationType.INITIAL, 2, 3)
    loaded = pickle.loads(pickle.dumps(event))
    assert type(loaded) is type(event)
    assert tuple(loaded) == tuple(event)


def test_notification_types_have_the_numbers_of_windows() -> None:
    """The values are those of MIB_NOTIFICATION_TYPE in netioapi.h."""
    assert {t.name: t.value for t in NotificationType} == {
        "PARAMETER": 0,
        "ADD": 1,
        "DELETE": 2,
        "INITIAL": 3,
    }
