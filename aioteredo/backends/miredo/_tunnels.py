"""The network interfaces without a link layer, as a Teredo client's TUN is one.

The structure is in the kernel headers that are named with the constants.
"""

from __future__ import annotations

import struct
from typing import Final

from ._netlink import NETLINK_ROUTE, Message, Netlink, unpack

# linux/rtnetlink.h
RTNLGRP_LINK: Final = 1
RTNLGRP_IPV6_IFADDR: Final = 9
RTM_NEWLINK: Final = 16
RTM_GETLINK: Final = 18

# linux/if_arp.h
ARPHRD_NONE: Final = 0xFFFE

_IFINFOMSG: Final = struct.Struct("=BxHiII")  # family, type, index, flags, change


def announces_tunnel(message: Message) -> bool:
    """Whether *message* says that a link without a link layer is there, as TUN is."""
    if message.type != RTM_NEWLINK:
        return False
    return bool(unpack(_IFINFOMSG, message.payload)[1] == ARPHRD_NONE)


class LinkTable(Netlink):
    """The network interfaces of the network namespace."""

    def __init__(self) -> None:
        super().__init__(NETLINK_ROUTE)

    def has_tunnel(self) -> bool:
        """Return whether there is an interface that may be a Teredo client's.

        :raises BackendError: if the kernel refuses
        """
        links = self.dump("RTM_GETLINK", RTM_GETLINK, _IFINFOMSG.pack(0, 0, 0, 0, 0))
        return any(map(announces_tunnel, links))
