"""Netlink messages as the kernel sends them, and a socket table that receives them."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator

from aioteredo.backends.miredo._inet_diag import (
    SOCK_DIAG_BY_FAMILY,
    SocketTable,
    UdpSocket,
)
from aioteredo.backends.miredo._netlink import (
    NLMSG_DONE,
)


def message(kind: int, payload: bytes = b"", *, flags: int = 0, seq: int = 1) -> bytes:
    length = 16 + len(payload)
    header = struct.pack("=IHHII", length, kind, flags, seq, 0)
    return (header + payload).ljust(length + 3 & ~3, b"\0")


CAPTURED = bytes.fromhex(  # the first socket of a dump, Linux 6.18, port 38571
    "7c000000140002000700000051ce89a20207000096ab0000000000000000000000000000"
    "000000000000000000000000000000000000000000000000020000000000000000000000"
    "0000000000000000000000005c900000050008000000000008000f00000000000c001500"
    "01000000000000000600160050000000"
)


@contextlib.contextmanager
def answering(*datagrams: bytes) -> Iterator[SocketTable]:
    """Return a socket table that receives *datagrams* instead of the kernel's answers."""
    if sys.platform != "linux":
        raise NotImplementedError
    with contextlib.closing(SocketTable()) as table:
        table.socket.close()
        table.socket, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with kernel:
            for datagram in datagrams:
                kernel.send(datagram)
            yield table


SOCKET = message(SOCK_DIAG_BY_FAMILY, CAPTURED[16:])


DONE = message(NLMSG_DONE, struct.pack("=i", 0))


EXPECTED = UdpSocket(bytes.fromhex("0200000000000000"), 38571, 0, 36956, 1)
