"""The kernel's table of UDP sockets, and word of their end: inet_diag over netlink.

What each structure looks like is in the kernel headers that are named with the constants.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import Final, NamedTuple

from .._errors import BackendError, BackendUnavailableError
from ._netlink import (
    NETLINK_SOCK_DIAG,
    NLMSGHDR,
    Listener,
    Netlink,
    align,
    naming,
    unpack,
)

# linux/netlink.h
NLM_F_REQUEST: Final = 0x1
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_DUMP: Final = 0x300
NLMSG_ERROR: Final = 0x2
NLMSG_DONE: Final = 0x3

# linux/sock_diag.h
SOCK_DIAG_BY_FAMILY: Final = 20
SKNLGRP_INET_UDP_DESTROY: Final = 2

# linux/inet_diag.h
INET_DIAG_CGROUP_ID: Final = 21

# net/tcp_states.h
TCP_CLOSE: Final = 7
_RTATTR: Final = struct.Struct("=HH")  # length, type
_ERROR: Final = struct.Struct("=i")  # of nlmsgerr, and of a dump's NLMSG_DONE
# family, protocol, ext, states, inet_diag_sockid
_INET_DIAG_REQ_V2: Final = struct.Struct("=BBBxI48x")
# inet_diag_msg: sport (in network order), cookie, uid, inode
_INET_DIAG_MSG: Final = struct.Struct("=4x2s38x8s12xII")
_COOKIE_OFFSET: Final = NLMSGHDR.size + 44
_MAX_DUMPS: Final = 8


class UdpSocket(NamedTuple):
    """A socket as inet_diag describes it."""

    cookie: bytes  # never used again until the next boot, unlike port and inode
    port: int
    uid: int
    inode: int
    cgroup: int | None


def parse_socket(payload: bytes) -> UdpSocket:
    """Read an inet_diag_msg.

    :raises BackendError: EBADMSG, if it is too short
    """
    sport, cookie, uid, inode = unpack(_INET_DIAG_MSG, payload)
    cgroup, attributes = None, payload[_INET_DIAG_MSG.size :]
    while attributes:
        length, kind = unpack(_RTATTR, attributes)
        if kind == INET_DIAG_CGROUP_ID:
            value = attributes[_RTATTR.size : length]
            cgroup = int.from_bytes(value, sys.byteorder)
        attributes = attributes[max(align(length), _RTATTR.size) :]
    port = int.from_bytes(sport, "big")
    return UdpSocket(cookie, port, uid, inode, cgroup)


class SocketTable(Netlink):
    """The UDP sockets of the network namespace."""

    def __init__(self) -> None:
        super().__init__(NETLINK_SOCK_DIAG)
        self._seq = 0

    def unconnected(self) -> list[UdpSocket]:
        """The bound IPv4 sockets that are not connected (those are in TCP_CLOSE).

        :raises BackendError: if the kernel refuses
        :raises BackendUnavailableError: if it has no inet_diag for UDP
        """
        for _ in range(_MAX_DUMPS):
            sockets, consistent = self._dump()
            if consistent:
                return sockets
        raise BackendError("SOCK_DIAG_BY_FAMILY", errno.EINTR, "errno")

    def _dump(self) -> tuple[list[UdpSocket], bool]:
        request = _INET_DIAG_REQ_V2.pack(
            socket.AF_INET, socket.IPPROTO_UDP, 0, 1 << TCP_CLOSE
        )
        self._seq += 1
        header = NLMSGHDR.pack(
            NLMSGHDR.size + len(request),
            SOCK_DIAG_BY_FAMILY,
            NLM_F_REQUEST | NLM_F_DUMP,
            self._seq,
            0,
        )
        with naming("sendmsg(AF_NETLINK)"):
            self.socket.sendall(header + request)
        sockets, consistent = [], True
        while True:
            for message in self.receive_datagram():
                if message.seq != self._seq:  # of a dump that an error cut short
                    continue
                if message.flags & NLM_F_DUMP_INTR:
                    consistent = False
                if message.type == SOCK_DIAG_BY_FAMILY:
                    sockets.append(parse_socket(message.payload))
                elif message.type in (NLMSG_DONE, NLMSG_ERROR):
                    _check(message.payload)
                    return sockets, consistent


class CloseListener(Listener):
    """The closing of UDP sockets in the network namespace; at first, of all of them."""

    def __init__(self) -> None:
        super().__init__(NETLINK_SOCK_DIAG, SKNLGRP_INET_UDP_DESTROY)

    def follow(self, found: UdpSocket | None) -> None:
        """Hear of that socket only. The filter is the kernel's: others cost nothing.

        :raises BackendError: if the kernel refuses the filter
        """
        self.filter_by(_COOKIE_OFFSET, None if found is None else found.cookie)


def _check(payload: bytes) -> None:
    code = -unpack(_ERROR, payload)[0]
    if code == errno.ENOENT:
        raise BackendUnavailableError(
            "SOCK_DIAG_BY_FAMILY: ENOENT: this kernel has no inet_diag for UDP "
            "(CONFIG_INET_DIAG and CONFIG_INET_UDP_DIAG, or modprobe udp_diag)"
        )
    if code:
        raise BackendError("SOCK_DIAG_BY_FAMILY", code, "errno")
