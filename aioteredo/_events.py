"""What a stream yields.

``PortEvent`` is a tuple underneath for its price. It is made once per event on the
consumer's thread, in microseconds on CPython 3.11 / 3.13:

==============================================  =====  =====
frozen slotted dataclass                         0.40   0.46
slots set through their descriptors              0.22   0.25
NamedTuple                                       0.17   0.20
NamedTuple through ``tuple.__new__``             0.08   0.09
==============================================  =====  =====

where the rest of the way, from the callback to ``async for``, costs 0.35.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

TEREDO_MULTICAST_ADDRESS: Final = "224.0.0.253"
"""Where a Teredo client listens for others on its link (RFC 4380, section 2.18)."""

TEREDO_MULTICAST_PORT: Final = 3544
"""The port of that address. It is static: a firewall opens it once, for good."""


class NotificationType(IntEnum):
    """Why there is an event: the values of MIB_NOTIFICATION_TYPE (netioapi.h)."""

    PARAMETER = 0
    """The port changed (MibParameterNotification)."""
    ADD = 1
    """MibAddInstance."""
    DELETE = 2
    """MibDeleteInstance."""
    INITIAL = 3
    """Nothing changed: how a watch begins that is opened with ``initial=True``."""


class PortEvent(NamedTuple):
    """One notification of the Teredo client's UDP service port.

    Two events are equal if they say the same, whenever they were taken:
    ``monotonic_ns`` is no part of equality.
    """

    port: int | None
    """The UDP port, 1 to 65535, or None: the Teredo client has no port now."""
    notification_type: NotificationType | int = NotificationType.PARAMETER
    """A number that this version does not know stays an int."""
    missed: int = 0
    """How many events were dropped just before this one, because the buffer was full."""
    monotonic_ns: int = 0
    """:func:`time.monotonic_ns` at the moment of the native callback."""

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PortEvent):
            return self[:3] == other[:3]
        return False if isinstance(other, tuple) else NotImplemented

    def __ne__(self, other: object) -> bool:  # tuple has one of its own
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        return hash(self[:3])
