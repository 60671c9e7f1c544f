"""The events that a stream yields."""

# No `from __future__ import annotations`, which makes strings of the annotations. @public
# lets the classes say that they belong to `aioteredo`. typing.get_type_hints() would look
# there for the names in the strings, and would not find most of them.

from enum import IntEnum
from typing import Any, Final, NamedTuple

from ._addresses import TeredoAddress
from ._public import public

TEREDO_MULTICAST_ADDRESS: Final = "224.0.0.253"
"""The IPv4 address where a Teredo client listens for other clients on its link.

RFC 4380, section 2.18: the Teredo IPv4 Discovery Address.
"""

TEREDO_MULTICAST_PORT: Final = 3544
"""The UDP port of :data:`TEREDO_MULTICAST_ADDRESS`.

This port never changes, unlike the service port, so a firewall opens it once.
"""


@public
class NotificationType(IntEnum):
    """The reason for an event: the values of MIB_NOTIFICATION_TYPE (netioapi.h)."""

    PARAMETER = 0
    """The port or the addresses changed (MibParameterNotification)."""

    ADD = 1
    """Windows reports that an instance was added (MibAddInstance).

    The backends ``miredo`` and ``simulated`` never report this type.
    """

    DELETE = 2
    """Windows reports that an instance was deleted (MibDeleteInstance).

    The backends ``miredo`` and ``simulated`` never report this type.
    """

    INITIAL = 3
    """Nothing changed: the first event of a watch that was opened with ``initial=True``."""


# Events are named tuples, because each event is made in the event loop, and no other
# immutable object is made faster. The mailbox calls tuple.__new__() for the same reason. A
# named tuple cannot inherit methods, so each class calls the functions below.


def _is_equal(event: tuple[Any, ...], other: object) -> bool:
    """Compare all fields but the last one, ``monotonic_ns``."""
    if isinstance(other, type(event)):
        return event[:3] == other[:3]
    return False if isinstance(other, tuple) else NotImplemented


def _is_unequal(event: tuple[Any, ...], other: object) -> bool:
    """Compare as :func:`_is_equal` does. The method of tuple would compare all fields."""
    equal = _is_equal(event, other)
    return equal if equal is NotImplemented else not equal


@public
class PortEvent(NamedTuple):
    """One notification of the Teredo client's UDP service port.

    Two events with the same content are equal, even if they were received at different
    times: ``monotonic_ns`` is not part of equality.
    """

    port: int | None
    """The UDP port, 1 to 65535, or None if the Teredo client has no port."""

    notification_type: NotificationType | int = NotificationType.PARAMETER
    """The reason for the event. A number that this version does not know stays an int."""

    missed: int = 0
    """The number of events that a full buffer dropped directly before this one."""

    monotonic_ns: int = 0
    """The result of :func:`time.monotonic_ns` in the native callback, in nanoseconds."""

    def __eq__(self, other: object) -> bool:
        return _is_equal(self, other)

    def __ne__(self, other: object) -> bool:
        return _is_unequal(self, other)

    def __hash__(self) -> int:
        return hash(self[:3])


@public
class AddressEvent(NamedTuple):
    """One change of the Teredo addresses of this machine.

    Two events with the same content are equal, even if they were received at different
    times: ``monotonic_ns`` is not part of equality.
    """

    addresses: tuple[TeredoAddress, ...]
    """All usable Teredo addresses after the change, sorted; empty if there is none."""

    notification_type: NotificationType | int = NotificationType.PARAMETER
    """The reason for the event. A number that this version does not know stays an int."""

    missed: int = 0
    """The number of events that a full buffer dropped directly before this one."""

    monotonic_ns: int = 0
    """The result of :func:`time.monotonic_ns` in the native callback, in nanoseconds."""

    def __eq__(self, other: object) -> bool:
        return _is_equal(self, other)

    def __ne__(self, other: object) -> bool:
        return _is_unequal(self, other)

    def __hash__(self) -> int:
        return hash(self[:3])
