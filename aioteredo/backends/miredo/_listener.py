"""A netlink socket that receives the events of the kernel, without any privilege.

The layout of each structure is in the kernel header that is named above its constants.
"""

from __future__ import annotations

import errno
import socket
import struct
from array import array
from collections.abc import Callable
from typing import Final

from ..._errors import BackendError
from ._netlink import Message, Netlink, as_backend_error

# asm-generic/socket.h
SO_ATTACH_FILTER: Final = 26

# linux/bpf_common.h
BPF_LD_W_ABS: Final = 0x20
BPF_JMP_JEQ_K: Final = 0x15
BPF_RET_K: Final = 0x06

BATCH: Final = 64  # datagrams; a flood of events must not prevent the dump


class EventsLostError(Exception):
    """The kernel has dropped events, or one of them is unreadable."""


class Listener(Netlink):
    """A netlink socket that receives the events which the kernel multicasts.

    It asks nothing, because its filter would also drop the answers.

    :param groups: the numbers of the multicast groups, not a mask
    """

    def __init__(self, protocol: int, *groups: int) -> None:
        super().__init__(protocol, sum(1 << group - 1 for group in groups))
        self.socket.setblocking(False)

    def fileno(self) -> int:
        return self.socket.fileno()

    def receive(self) -> list[Message]:
        """Return the messages of the next datagram, or [] if no datagram is waiting.

        :raises EventsLostError: if the buffer was full, or the datagram is unreadable; the
            next call goes on with the datagram after it
        :raises BackendError: if receiving fails for another reason
        """
        try:
            return self.receive_datagram()
        except BackendError as error:
            if error.code == errno.EAGAIN:
                return []
            if error.code in (errno.ENOBUFS, errno.EBADMSG, errno.EMSGSIZE):
                raise EventsLostError from error
            raise

    def receive_waiting(self, matters: Callable[[Message], bool]) -> bool:
        """Receive the events that are waiting, at most BATCH datagrams.

        :return: whether an event matters, or may have mattered, because events were lost
        :raises BackendError: if receiving fails
        """
        found = False
        for _ in range(BATCH):
            try:
                messages = self.receive()
            except EventsLostError:
                found = True
                continue
            if not messages:
                break
            if any(map(matters, messages)):
                found = True
        return found

    def filter_by(self, offset: int, value: bytes | None) -> None:
        """Make the kernel drop every datagram that has not *value* at *offset*.

        :param offset: bytes from the beginning of the datagram
        :param value: 8 bytes, or None to drop all datagrams
        :raises BackendError: if the kernel refuses the filter
        """
        program = b""
        if value is not None:
            # The filter's loads read a word in network order.
            first, second = struct.unpack("!II", value)
            program = (
                _instruction(BPF_LD_W_ABS, 0, 0, offset)
                + _instruction(BPF_JMP_JEQ_K, 0, 3, first)
                + _instruction(BPF_LD_W_ABS, 0, 0, offset + 4)
                + _instruction(BPF_JMP_JEQ_K, 0, 1, second)
                + _instruction(BPF_RET_K, 0, 0, 0xFFFFFFFF)
            )
        program += _instruction(BPF_RET_K, 0, 0, 0)

        memory = array("B", program)
        address, length = memory.buffer_info()
        with as_backend_error("setsockopt(SO_ATTACH_FILTER)"):
            self.socket.setsockopt(
                socket.SOL_SOCKET,
                SO_ATTACH_FILTER,
                struct.pack("HP", length // 8, address),  # sock_fprog
            )


def _instruction(code: int, if_true: int, if_false: int, k: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, k)  # sock_filter
