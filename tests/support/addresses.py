"""Interfaces with IPv6 addresses, in the network namespace of a test."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

from aioteredo import MiredoBackend, TeredoAddress
from aioteredo.backends.miredo._addresses import IFA_ADDRESS, RTM_NEWADDR
from aioteredo.backends.miredo._netlink import Message

from . import miredo_lab
from .miredo import tunnel
from .waiting import wait_until

FIRST = TeredoAddress("2001:0:c000:201:0:63bf:3fff:fdf5")
SECOND = TeredoAddress("2001:0:c000:201:0:63be:3fff:fdf5")
THIRD = TeredoAddress("2001:0:c000:202:0:63bf:3fff:fdf5")


def ip(*arguments: object) -> None:
    """Run ``ip`` with these arguments."""
    miredo_lab.run("ip", *map(str, arguments))


def add(address: object, interface: str = "tun0") -> None:
    """Give an interface an address that is usable at once, as by a qualified Miredo."""
    ip("addr", "add", f"{address}/32", "dev", interface, "nodad")


def add_with_detection(address: object, interface: str = "one") -> None:
    """Give an interface an address that waits for duplicate address detection."""
    ip("addr", "add", f"{address}/32", "dev", interface)
    wait_for_flag("tentative")


def remove(address: object, interface: str = "tun0") -> None:
    ip("addr", "del", f"{address}/32", "dev", interface)


@contextlib.contextmanager
def tunnel_with(*addresses: TeredoAddress, name: str = "tun0") -> Iterator[None]:
    """Create a TUN that is up and has *addresses*, as a qualified Miredo does."""
    with tunnel(name):
        ip("link", "set", name, "up")
        for address in addresses:
            add(address, name)
        yield


def cable() -> None:
    """Create the Ethernet interface ``one``, whose peer ``two`` is down.

    Duplicate address detection on ``one`` begins when ``two`` is up, and then takes about
    50 milliseconds.
    """
    ip("link", "add", "one", "type", "veth", "peer", "name", "two")
    settings = Path("/proc/sys/net/ipv6")
    (settings / "conf/one/router_solicitation_delay").write_text("0")
    (settings / "neigh/one/retrans_time_ms").write_text("50")
    ip("link", "set", "one", "up")


def wait_for_flag(flag: str) -> None:
    """Wait until an address has *flag*, as ``ip addr`` prints it."""
    wait_until(lambda: flag in miredo_lab.run("ip", "-6", "addr"), f"the flag {flag}")


def fail_detection(address: TeredoAddress) -> None:
    """Add *address* to ``one`` of :func:`cable`, while ``two`` has it already."""
    ip("link", "set", "two", "up")
    add(address, "two")
    ip("addr", "add", f"{address}/32", "dev", "one")
    wait_for_flag("dadfailed")
    remove(address, "two")


def usable_addresses(backend: MiredoBackend) -> set[TeredoAddress]:
    """Return the addresses, which a backend may return in any order."""
    addresses = backend.get_addresses()
    assert len(addresses) == len(set(addresses))
    return set(addresses)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


def address_message(
    *more: bytes,
    address: TeredoAddress = FIRST,
    flags: int = 0,
    kind: int = RTM_NEWADDR,
) -> Message:
    """Return the message of the kernel about an address."""
    header = struct.pack("=BBBBI", 10, 32, flags, 0, 1)
    payload = header + attribute(IFA_ADDRESS, address.packed) + b"".join(more)
    return Message(kind, 0, 0, payload)
