"""The network interfaces that can be a Teredo client's tunnel: those without a link layer.

The layout of the structure is in the kernel header that is named above its constants.
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
    """Return whether *message* is about an interface that has no link layer, like a TUN."""
    if message.type != RTM_NEWLINK:
        return False

    _family, link_type, *_ = unpack(_IFINFOMSG, message.payload)
    return bool(link_type == ARPHRD_NONE)


class LinkTable(Netlink):
    """The table of the interfaces in the network namespace."""

    def __init__(self) -> None:
        super().__init__(NETLINK_ROUTE)

    def has_tunnel(self) -> bool:
        """Return whether an interface without a link layer exists.

        :raises BackendError: if the kernel refuses
        """
        links = self.dump("RTM_GETLINK", RTM_GETLINK, _IFINFOMSG.pack(0, 0, 0, 0, 0))
        return any(map(announces_tunnel, links))
