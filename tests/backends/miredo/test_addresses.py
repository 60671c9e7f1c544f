"""The addresses that are usable Teredo addresses."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import errno
import socket
import struct

from aioteredo import BackendError, BackendUnavailableError, MiredoBackend
from aioteredo.backends.miredo import _netlink
from aioteredo.backends.miredo._addresses import (
    IFA_FLAGS,
    IFA_LOCAL,
    RTM_DELADDR,
    parse_address,
)

from ...support.addresses import (
    FIRST,
    SECOND,
    THIRD,
    add,
    add_with_detection,
    address_message,
    attribute,
    cable,
    fail_detection,
    ip,
    tunnel_with,
    usable_addresses,
)
from ...support.miredo import UID, network_namespace
from ...support.seccomp import on_a_thread, refuse


def test_machine_without_a_tunnel_has_no_address(backend: MiredoBackend) -> None:
    """Without a Teredo client, the tuple is empty."""
    assert backend.get_addresses() == ()


def test_address_of_a_tunnel_is_returned_with_its_fields(backend: MiredoBackend) -> None:
    """The kernel's address becomes a TeredoAddress."""
    with tunnel_with(FIRST):
        (address,) = backend.get_addresses()
    assert address == FIRST
    assert (str(address.mapped_address), address.mapped_port) == ("192.0.2.10", 40000)


def test_several_addresses_are_returned_together(backend: MiredoBackend) -> None:
    """Addresses of one tunnel and of two tunnels all count."""
    with tunnel_with(FIRST, SECOND), tunnel_with(THIRD, name="tun1"):
        assert usable_addresses(backend) == {FIRST, SECOND, THIRD}


@pytest.mark.parametrize(
    "other", ["2001:1::1", "2001:db8::1", "2002:c000:201::1", "fd00::1", "3ffe:831f::1"]
)
def test_address_with_another_prefix_is_not_returned(
    backend: MiredoBackend, other: str
) -> None:
    """Only 2001::/32 is Teredo's prefix; the old one of Windows XP is not."""
    with tunnel_with(FIRST):
        add(other)
        assert usable_addresses(backend) == {FIRST}


def test_address_of_any_interface_is_returned(backend: MiredoBackend) -> None:
    """The prefix is enough, because another client may use another kind of interface."""
    ip("link", "set", "lo", "up")
    add(FIRST, "lo")
    assert usable_addresses(backend) == {FIRST}


def test_own_address_of_a_point_to_point_interface_is_returned(
    backend: MiredoBackend,
) -> None:
    """The address of the peer is skipped, although it is a Teredo address as well."""
    with tunnel_with():
        ip("addr", "add", FIRST, "peer", SECOND, "dev", "tun0", "nodad")
        assert usable_addresses(backend) == {FIRST}


def test_tentative_address_is_not_returned(backend: MiredoBackend) -> None:
    """An address that waits for duplicate address detection cannot be bound yet."""
    cable()
    add_with_detection(FIRST)
    assert backend.get_addresses() == ()
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock,
        pytest.raises(OSError, match="Cannot assign"),
    ):
        sock.bind((str(FIRST), 0))


def test_duplicate_address_is_not_returned(backend: MiredoBackend) -> None:
    """An address that another host of the link has cannot be bound."""
    cable()
    fail_detection(FIRST)
    assert backend.get_addresses() == ()


def test_addresses_of_another_network_namespace_are_not_returned(
    backend: MiredoBackend,
) -> None:
    """The backend sees the network namespace of the calling thread."""

    def work() -> None:
        with network_namespace():
            assert backend.get_addresses() == ()

    with tunnel_with(FIRST):
        on_a_thread(work)
        assert backend.get_addresses() == (FIRST,)


# the messages of the kernel


@pytest.mark.parametrize(
    ("flags", "usable", "waiting"),
    [
        (0x00, True, False),
        (0x80, True, False),  # permanent
        (0x20, True, False),  # deprecated
        (0x40, False, True),  # tentative
        (0x44, False, True),  # optimistic
        (0x48, False, False),  # duplicate
    ],
)
def test_flags_give_the_state_of_an_address(
    flags: int, usable: bool, waiting: bool
) -> None:
    """A deprecated address can be bound; a duplicate one does not wait any more."""
    state = parse_address(address_message(flags=flags))
    assert state == (FIRST, usable, waiting)


def test_flags_of_the_attribute_count() -> None:
    """The attribute has 32 flags, and the header only the lowest 8 of them."""
    state = parse_address(
        address_message(attribute(IFA_FLAGS, struct.pack("=I", 0x140)), flags=0)
    )
    assert state == (FIRST, False, True)


def test_local_address_is_the_interfaces_own() -> None:
    """If the message has a local address, the other one is the peer's."""
    state = parse_address(address_message(attribute(IFA_LOCAL, SECOND.packed)))
    assert state == (SECOND, True, False)


def test_removed_address_is_about_teredo() -> None:
    """The message of a removed address is parsed as well, because it is an event."""
    assert parse_address(address_message(kind=RTM_DELADDR)) is not None


def test_message_that_is_not_about_a_teredo_address_is_skipped() -> None:
    """Another type, another prefix and a missing address give None."""
    message = address_message()
    assert parse_address(message._replace(type=16)) is None
    assert parse_address(message._replace(payload=bytes(8))) is None
    other = address_message(attribute(IFA_LOCAL, bytes(16)))
    assert parse_address(other) is None


def test_short_message_is_an_error() -> None:
    """A message that ends in its header raises BackendError."""
    with pytest.raises(BackendError, match="EBADMSG"):
        parse_address(address_message()._replace(payload=bytes(7)))


# failures


def test_refused_netlink_makes_the_addresses_unavailable() -> None:
    """The error names the systemd setting that allows netlink."""

    def work() -> None:
        refuse("socket", errno.EAFNOSUPPORT, _netlink.AF_NETLINK)
        with pytest.raises(BackendUnavailableError, match="RestrictAddressFamilies"):
            MiredoBackend(uid=UID).get_addresses()

    on_a_thread(work)
