"""Netlink messages, dumps, and a kernel that refuses netlink."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import contextlib
import errno
import struct

from aioteredo import BackendError, BackendUnavailableError, MiredoBackend
from aioteredo.backends.miredo import (
    _netlink,
)
from aioteredo.backends.miredo._inet_diag import (
    SOCK_DIAG_BY_FAMILY,
    SocketTable,
)
from aioteredo.backends.miredo._netlink import (
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
)

from ...support.miredo import (
    UID,
    bound,
    open_fds,
    port_of,
)
from ...support.netlink import CAPTURED, DONE, EXPECTED, SOCKET, answering, message
from ...support.seccomp import on_a_thread, refuse
from ...support.sinks import RecordingSink


@pytest.mark.parametrize("length", range(1, len(CAPTURED)))
def test_truncated_bytes_are_an_error(length: int) -> None:
    """A message that ends anywhere too early raises BackendError and nothing else."""
    with pytest.raises(BackendError) as caught:
        _netlink.parse(CAPTURED[:length])
    assert caught.value.symbol == "EBADMSG"


@pytest.mark.parametrize("length", [0, 15, 2**32 - 1])
def test_impossible_length_is_an_error(length: int) -> None:
    """A length below the header's, or beyond the datagram's end, raises BackendError."""
    with pytest.raises(BackendError, match="EBADMSG"):
        _netlink.parse(struct.pack("=IHHII", length, 0, 0, 0, 0))


def test_dump_of_many_datagrams_is_read_to_its_end() -> None:
    """All messages of all datagrams count, up to the end mark."""
    with answering(SOCKET + SOCKET, SOCKET, DONE) as table:
        assert table.unconnected() == [EXPECTED] * 3


def test_dump_of_many_sockets_is_complete(netns: None) -> None:
    """A real dump of 600 sockets contains each socket once."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(bound()) for _ in range(600)]
        table = stack.enter_context(contextlib.closing(SocketTable()))
        ports = [sock.port for sock in table.unconnected()]
        assert sorted(ports) == sorted(map(port_of, socks))


def test_interrupted_dump_is_repeated() -> None:
    """The messages of a dump that the kernel marks as inconsistent are dropped."""
    other = message(SOCK_DIAG_BY_FAMILY, CAPTURED[16:], flags=NLM_F_DUMP_INTR)
    again = message(SOCK_DIAG_BY_FAMILY, CAPTURED[16:], seq=2)
    done = message(NLMSG_DONE, struct.pack("=i", 0), seq=2)
    with answering(other + SOCKET, DONE, again, done) as table:
        assert table.unconnected() == [EXPECTED]


def test_dump_that_is_always_interrupted_is_an_error() -> None:
    """If no dump is consistent, BackendError is raised after a few dumps."""
    ends = [
        message(NLMSG_DONE, struct.pack("=i", 0), flags=NLM_F_DUMP_INTR, seq=seq)
        for seq in range(1, 9)
    ]
    with answering(*ends) as table, pytest.raises(BackendError, match="EINTR"):
        table.unconnected()


def test_rest_of_an_earlier_dump_is_skipped() -> None:
    """The unread rest of a failed dump is not taken for the next answer."""
    stale = message(SOCK_DIAG_BY_FAMILY, CAPTURED[16:], seq=0)
    with answering(stale + message(NLMSG_DONE, bytes(4), seq=0), DONE) as table:
        assert table.unconnected() == []


def test_message_of_another_kind_in_a_dump_is_skipped() -> None:
    """A message of an unknown type is not taken for a socket."""
    with answering(message(1) + SOCKET, DONE) as table:
        assert table.unconnected() == [EXPECTED]


def test_error_in_answer_is_raised() -> None:
    """NLMSG_ERROR raises BackendError with the kernel's error code."""
    error = message(NLMSG_ERROR, struct.pack("=i", -errno.EINVAL))
    with answering(error) as table, pytest.raises(BackendError) as caught:
        table.unconnected()
    assert (caught.value.function, caught.value.symbol, caught.value.table) == (
        "SOCK_DIAG_BY_FAMILY",
        "EINVAL",
        "errno",
    )


def test_error_at_the_end_of_a_dump_is_raised() -> None:
    """An error code in the end mark raises BackendError instead of a shorter dump."""
    end = message(NLMSG_DONE, struct.pack("=i", -errno.ENOMEM))
    with answering(SOCKET, end) as table, pytest.raises(BackendError, match="ENOMEM"):
        table.unconnected()


def test_kernel_without_inet_diag_is_unavailable() -> None:
    """The error of a kernel without inet_diag for UDP names the kernel's option."""
    error = message(NLMSG_ERROR, struct.pack("=i", -errno.ENOENT))
    with (
        answering(error) as table,
        pytest.raises(BackendUnavailableError, match="CONFIG_INET_UDP_DIAG"),
    ):
        table.unconnected()


def test_datagram_longer_than_the_buffer_is_an_error() -> None:
    """A datagram that was cut off raises BackendError."""
    with (
        answering(bytes(1 << 16)) as table,
        pytest.raises(BackendError, match="EMSGSIZE"),
    ):
        table.unconnected()


@pytest.mark.parametrize(
    "code", [errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT]
)
def test_refused_netlink_is_unavailable(code: int) -> None:
    """If netlink is refused, the error names the systemd setting that allows it."""

    def work() -> None:
        refuse("socket", code, _netlink.AF_NETLINK)
        before = open_fds()
        with pytest.raises(BackendUnavailableError, match="RestrictAddressFamilies"):
            MiredoBackend(uid=UID).subscribe(RecordingSink(), initial=True)
        with pytest.raises(BackendUnavailableError, match=errno.errorcode[code]):
            MiredoBackend(uid=UID).get_port()
        assert open_fds() == before

    on_a_thread(work)


def test_netlink_that_fails_otherwise_is_an_error() -> None:
    """An error other than a refusal stays a BackendError."""

    def work() -> None:
        refuse("socket", errno.ENOMEM, _netlink.AF_NETLINK)
        with pytest.raises(BackendError, match=r"^socket\(AF_NETLINK\): .*ENOMEM"):
            MiredoBackend(uid=UID).get_port()

    on_a_thread(work)


def test_netlink_that_cannot_be_bound_leaves_no_socket() -> None:
    """If bind() is refused, the socket is closed again."""

    def work() -> None:
        refuse("bind", errno.EPERM)
        before = open_fds()
        with pytest.raises(BackendUnavailableError, match=r"^bind\(AF_NETLINK\): "):
            MiredoBackend(uid=UID).subscribe(RecordingSink(), initial=True)
        assert open_fds() == before

    on_a_thread(work)
