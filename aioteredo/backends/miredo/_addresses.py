"""The Teredo addresses of the machine, read from the kernel's table of addresses.

The layout of each structure is in the kernel header that is named above its constants.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

from ..._addresses import TeredoAddress
from ..._backend import AddressSink
from ..._errors import BackendError
from ..._events import NotificationType
from ._listener import Listener
from ._netlink import NETLINK_ROUTE, Message, Netlink, attributes, unpack
from ._ports import Find, PortSource
from ._source import Resources
from ._tunnels import RTNLGRP_IPV6_IFADDR

# linux/rtnetlink.h
RTM_NEWADDR: Final = 20
RTM_DELADDR: Final = 21
RTM_GETADDR: Final = 22

# linux/if_addr.h
IFA_ADDRESS: Final = 1
IFA_LOCAL: Final = 2
IFA_FLAGS: Final = 8
IFA_F_DADFAILED: Final = 0x08
IFA_F_TENTATIVE: Final = 0x40

_IFADDRMSG: Final = struct.Struct("=BxBx4x")  # family, flags
_FLAGS: Final = struct.Struct("=I")

Addresses: TypeAlias = tuple[TeredoAddress, ...]


class AddressState(NamedTuple):
    """A Teredo address, and the state of its duplicate address detection (DAD)."""

    address: TeredoAddress
    usable: bool
    waiting: bool  # for DAD; an address that has failed it is neither usable nor waiting


def parse_address(message: Message) -> AddressState | None:
    """Read an ifaddrmsg. Return None if it is not about a Teredo address.

    :raises BackendError: EBADMSG, if the message is too short
    """
    # An address counts on any interface. The prefix 2001::/32 belongs to Teredo, but
    # nothing in an interface shows that Miredo has made it: the name can be chosen, and
    # every VPN has a tunnel of the same type.
    if message.type not in (RTM_NEWADDR, RTM_DELADDR):
        return None
    _family, flags = unpack(_IFADDRMSG, message.payload)
    values = attributes(message.payload[_IFADDRMSG.size :])

    # On a point-to-point interface, IFA_ADDRESS can be the address of the peer. The message
    # then has the interface's own address in IFA_LOCAL.
    local = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS, b"")
    try:
        address = TeredoAddress(local)
    except ValueError:
        return None

    # The header has only 8 of the flags. The attribute has all.
    if IFA_FLAGS in values:
        (flags,) = unpack(_FLAGS, values[IFA_FLAGS])
    failed = bool(flags & IFA_F_DADFAILED)
    tentative = bool(flags & IFA_F_TENTATIVE)
    return AddressState(address, not tentative and not failed, tentative and not failed)


def is_about_teredo(message: Message) -> bool:
    """Return whether *message* is about a Teredo address."""
    return parse_address(message) is not None


class AddressTable(Netlink):
    """The table of the addresses in the network namespace."""

    def __init__(self) -> None:
        super().__init__(NETLINK_ROUTE)

    def read(self) -> list[AddressState]:
        """Return the Teredo addresses.

        :raises BackendError: if the kernel refuses
        """
        request = _IFADDRMSG.pack(socket.AF_INET6, 0)
        messages = self.dump("RTM_GETADDR", RTM_GETADDR, request)
        return [state for each in messages if (state := parse_address(each)) is not None]


def usable(states: Iterable[AddressState]) -> Addresses:
    """Return the addresses that have passed duplicate address detection."""
    return tuple(state.address for state in states if state.usable)


class AddressSource:
    """The usable addresses, and the events after which they may have changed."""

    # Each event causes a dump, even an event that the kernel repeats. The watch ignores
    # addresses that have not changed, so this source needs no state, which could be wrong.

    def __init__(self, resources: Resources) -> None:
        self._table = resources.keep(AddressTable())
        self._links = resources.keep(Listener(NETLINK_ROUTE, RTNLGRP_IPV6_IFADDR))
        self.listeners = (self._links,)

    def first(self) -> Addresses:
        """Return the current addresses."""
        return usable(self._table.read())

    def timeout(self) -> None:
        """Return None: each change of an address has an event."""

    def changes(self) -> Iterator[Addresses]:
        """Receive the events that are waiting, and return the addresses after them."""
        if self._links.receive_waiting(is_about_teredo):
            yield usable(self._table.read())


class StableAddressSource:
    """The usable addresses once they are stable, and None before that.

    The addresses are stable if none waits for duplicate address detection, and Miredo has
    an address or is not running. Miredo runs as long as it has a port. A tunnel would not
    show that Miredo runs, because every VPN has one.
    """

    def __init__(self, find: Find, resources: Resources) -> None:
        # The events of the ports include those of the addresses.
        self._ports = PortSource(find, resources)
        self._table = resources.keep(AddressTable())
        self.listeners = self._ports.listeners

    def first(self) -> Addresses | None:
        """Return the current addresses, or None if they are not stable."""
        self._port = self._ports.first()
        return self._stable()

    def timeout(self) -> float | None:
        """Return the seconds until Miredo's socket is searched without an event."""
        return self._ports.timeout()

    def changes(self) -> Iterator[Addresses | None]:
        """Receive the events that are waiting, and return the addresses after them."""
        for port in self._ports.changes():
            self._port = port
        yield self._stable()

    def _stable(self) -> Addresses | None:
        states = self._table.read()
        addresses = usable(states)
        is_unqualified = self._port is not None and not addresses
        if is_unqualified or any(state.waiting for state in states):
            return None
        return addresses


class StableSink:
    """A sink that passes the stable addresses on to *sink*."""

    def __init__(self, sink: AddressSink) -> None:
        self._sink = sink

    def push(self, addresses: Addresses | None, _notification_type: int, /) -> None:
        """Deliver the addresses if they are stable. A later call is ignored by *sink*."""
        if addresses is not None:
            self._sink.push(addresses, NotificationType.INITIAL)

    def fail(self, error: BackendError) -> None:
        """Report that the backend has failed and will deliver nothing more."""
        self._sink.fail(error)
