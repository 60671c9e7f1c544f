"""The kernel's table of UDP sockets, and the events of their closing, by inet_diag.

The layout of each structure is in the kernel header that is named above its constants.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import Final, NamedTuple

from ..._errors import BackendError, BackendUnavailableError
from ._listener import Listener
from ._netlink import NETLINK_SOCK_DIAG, NLMSGHDR, Netlink, attributes, unpack
from ._user_namespace import MappedUsers

# linux/sock_diag.h
SOCK_DIAG_BY_FAMILY: Final = 20
SKNLGRP_INET_UDP_DESTROY: Final = 2

# linux/inet_diag.h
INET_DIAG_CGROUP_ID: Final = 21

# net/tcp_states.h
TCP_CLOSE: Final = 7
# family, protocol, ext, states, inet_diag_sockid
_INET_DIAG_REQ_V2: Final = struct.Struct("=BBBxI48x")
# inet_diag_msg: sport (in network order), cookie, uid, inode
_INET_DIAG_MSG: Final = struct.Struct("=4x2s38x8s12xII")
_COOKIE_OFFSET: Final = NLMSGHDR.size + 44


class UdpSocket(NamedTuple):
    """A socket as inet_diag describes it."""

    cookie: bytes  # never used again until the next boot, unlike port and inode
    port: int
    uid: int
    inode: int
    cgroup: int | None  # the inode number of its directory, if the kernel reports it


def parse_socket(payload: bytes) -> UdpSocket:
    """Read an inet_diag_msg.

    :raises BackendError: EBADMSG, if *payload* is too short
    """
    sport, cookie, uid, inode = unpack(_INET_DIAG_MSG, payload)

    cgroup = None
    value = attributes(payload[_INET_DIAG_MSG.size :]).get(INET_DIAG_CGROUP_ID)
    if value is not None:
        cgroup = int.from_bytes(value, sys.byteorder)

    port = int.from_bytes(sport, "big")
    return UdpSocket(cookie, port, uid, inode, cgroup)


class SocketTable(Netlink):
    """The table of the UDP sockets in the network namespace."""

    def __init__(self) -> None:
        # Read before the socket is made: the kernel translates uids for the user namespace
        # in which the netlink socket was made.
        self.users = MappedUsers()
        super().__init__(NETLINK_SOCK_DIAG)

    def unconnected(self) -> list[UdpSocket]:
        """Return the bound IPv4 sockets that are not connected.

        :raises BackendError: if the kernel refuses
        :raises BackendUnavailableError: if the kernel has no inet_diag for UDP
        """
        # The state of an unconnected UDP socket is TCP_CLOSE.
        request = _INET_DIAG_REQ_V2.pack(
            socket.AF_INET, socket.IPPROTO_UDP, 0, 1 << TCP_CLOSE
        )
        try:
            messages = self.dump("SOCK_DIAG_BY_FAMILY", SOCK_DIAG_BY_FAMILY, request)
        except BackendError as error:
            if error.code != errno.ENOENT:
                raise
            raise BackendUnavailableError(
                "SOCK_DIAG_BY_FAMILY: ENOENT: this kernel has no inet_diag for UDP; load "
                "the module udp_diag, or use a kernel with CONFIG_INET_DIAG and "
                "CONFIG_INET_UDP_DIAG"
            ) from error

        return [
            parse_socket(message.payload)
            for message in messages
            if message.type == SOCK_DIAG_BY_FAMILY
        ]


class CloseListener(Listener):
    """A receiver of an event for each UDP socket that is closed.

    Without a call of :meth:`follow`, it receives the events of all sockets of the network
    namespace.
    """

    def __init__(self) -> None:
        super().__init__(NETLINK_SOCK_DIAG, SKNLGRP_INET_UDP_DESTROY)

    def follow(self, found: UdpSocket | None) -> None:
        """Receive the event of this socket only, or of no socket if *found* is None.

        :raises BackendError: if the kernel refuses the filter
        """
        # The kernel filters, so a program with many short-lived sockets (such as a name
        # server) does not wake this process.
        self.filter_by(_COOKIE_OFFSET, None if found is None else found.cookie)
