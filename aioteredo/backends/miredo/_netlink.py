"""A netlink socket that asks the kernel for a table, and the messages of the answer.

It needs no privilege. The layout of each structure is in the kernel header that is named
above its constants.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from ..._errors import BackendError, BackendUnavailableError

# linux/socket.h
AF_NETLINK: Final = 16
MSG_TRUNC: Final = 0x20

# linux/netlink.h
NETLINK_ROUTE: Final = 0
NETLINK_SOCK_DIAG: Final = 4
NLM_F_REQUEST: Final = 0x1
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_DUMP: Final = 0x300
NLMSG_ERROR: Final = 0x2
NLMSG_DONE: Final = 0x3

NLMSGHDR: Final = struct.Struct("=IHHII")  # length, type, flags, seq, pid
_RTATTR: Final = struct.Struct("=HH")  # length, type (linux/rtnetlink.h)
_ERROR: Final = struct.Struct("=i")  # of nlmsgerr, and of a dump's NLMSG_DONE

# The most that the kernel puts into a datagram (netlink_dump in af_netlink.c)
_BUFFER_SIZE: Final = 1 << 15

_MAX_DUMPS: Final = 8  # then the table evidently never stays the same

_REFUSED: Final = (
    errno.EPERM,
    errno.EACCES,
    errno.EAFNOSUPPORT,
    errno.EPROTONOSUPPORT,
)


class Message(NamedTuple):
    """A netlink message without its header."""

    type: int
    flags: int
    seq: int
    payload: bytes


@contextmanager
def as_backend_error(function: str) -> Iterator[None]:
    """Turn an OSError of the block into a BackendError that names *function*."""
    try:
        yield
    except OSError as error:
        raise BackendError(function, error.errno or errno.EIO, "errno") from error


def parse(data: bytes) -> list[Message]:
    """Split one datagram into its messages.

    :raises BackendError: EBADMSG, if *data* ends in the middle of a message
    """
    messages = []

    while data:
        length, kind, flags, seq, _ = unpack(NLMSGHDR, data)
        if not NLMSGHDR.size <= length <= len(data):
            raise BackendError("recv(AF_NETLINK)", errno.EBADMSG, "errno")

        messages.append(Message(kind, flags, seq, data[NLMSGHDR.size : length]))
        data = data[align(length) :]

    return messages


def attributes(data: bytes) -> dict[int, bytes]:
    """Return the values of the attributes that end a message, by their types.

    :raises BackendError: EBADMSG, if *data* ends in the middle of an attribute's header
    """
    values = {}

    while data:
        length, kind = unpack(_RTATTR, data)
        values[kind] = data[_RTATTR.size : length]
        # An attribute of length 0 would otherwise be read again and again.
        data = data[max(align(length), _RTATTR.size) :]

    return values


# pyroute2 could replace this class, but its import takes longer than a whole small command,
# and its DiagSocket refuses to run inside asyncio.
class Netlink:
    """A netlink socket that asks, in the network namespace of the thread that made it."""

    def __init__(self, protocol: int, groups: int = 0) -> None:
        self.socket = _open(protocol, groups)
        self._seq = 0
        self._buffer = memoryview(bytearray(_BUFFER_SIZE))

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def receive_datagram(self) -> list[Message]:
        """Return the messages of the next datagram.

        :raises BackendError: if receiving fails, or the datagram is unreadable
        """
        with as_backend_error("recv(AF_NETLINK)"):
            length = self.socket.recv_into(self._buffer, 0, MSG_TRUNC)
        if length > len(self._buffer):
            raise BackendError("recv(AF_NETLINK)", errno.EMSGSIZE, "errno")
        return parse(bytes(self._buffer[:length]))

    def dump(self, request: str, kind: int, payload: bytes) -> list[Message]:
        """Ask the kernel for a whole table, and return its messages.

        :param request: the name of *kind*, for the text of an error
        :param kind: the message type of the request
        :param payload: the message without its header
        :raises BackendError: if the kernel refuses, or the table changes during each dump
        """
        for _ in range(_MAX_DUMPS):
            messages, consistent = self._dump(request, kind, payload)
            if consistent:
                return messages
        raise BackendError(request, errno.EINTR, "errno")

    def _dump(self, request: str, kind: int, payload: bytes) -> tuple[list[Message], bool]:
        self._seq += 1
        length = NLMSGHDR.size + len(payload)
        header = NLMSGHDR.pack(length, kind, NLM_F_REQUEST | NLM_F_DUMP, self._seq, 0)
        with as_backend_error("sendmsg(AF_NETLINK)"):
            self.socket.sendall(header + payload)

        messages = []
        consistent = True
        while True:
            for message in self.receive_datagram():
                if message.seq != self._seq:  # the rest of a dump that an error cut short
                    continue
                if message.flags & NLM_F_DUMP_INTR:
                    consistent = False
                if message.type not in (NLMSG_DONE, NLMSG_ERROR):
                    messages.append(message)
                elif code := -unpack(_ERROR, message.payload)[0]:
                    raise BackendError(request, code, "errno")
                else:
                    return messages, consistent


def _open(protocol: int, groups: int = 0) -> socket.socket:
    try:
        with as_backend_error("socket(AF_NETLINK)"):
            sock = socket.socket(AF_NETLINK, socket.SOCK_RAW, protocol)
        try:
            with as_backend_error("bind(AF_NETLINK)"):
                sock.bind((0, groups))  # 0: the kernel chooses a free port id
        except BaseException:
            sock.close()
            raise
    except BackendError as error:
        if error.code not in _REFUSED:
            raise
        raise BackendUnavailableError(
            f"{error}: this process may not use netlink; add AF_NETLINK to "
            "RestrictAddressFamilies= of its systemd service, or give its container a "
            "seccomp profile that allows netlink"
        ) from error
    return sock


def align(length: int) -> int:
    """Return the offset of the next message or attribute after one of *length* bytes."""
    return length + 3 & ~3  # NLMSG_ALIGN and RTA_ALIGN


def unpack(structure: struct.Struct, data: bytes) -> tuple[Any, ...]:
    """Unpack the beginning of *data*.

    :raises BackendError: EBADMSG, if it is too short
    """
    try:
        return structure.unpack_from(data)
    except struct.error:
        raise BackendError("recv(AF_NETLINK)", errno.EBADMSG, "errno") from None
