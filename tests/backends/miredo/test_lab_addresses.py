"""The Teredo address of Miredo itself, read by another process without privileges."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import json
from ipaddress import IPv6Address

from ...support import miredo_lab
from ...support.miredo_lab import NAT_PORT, Lab
from ...support.requirements import require
from ...support.waiting import limit


def test_address_of_a_qualified_miredo_is_returned(lab: Lab) -> None:
    """Without a NAT, the address has the local port and the address of the host."""
    assert lab.get_addresses() == ()
    client = lab.start()
    truth = lab.wait_for_address()
    (address,) = lab.get_addresses()
    assert address == truth
    assert str(address.server) == "192.0.2.1"
    assert str(address.mapped_address) == "192.0.2.10"
    assert [address.mapped_port] == lab.ports()

    client.stop()
    assert lab.get_addresses() == ()


def test_each_restart_of_miredo_gives_its_address_and_no_address(lab: Lab) -> None:
    """The events of a watch are the address after each start, and none after each stop."""
    events: list[tuple[IPv6Address, ...]] = []
    truth: list[tuple[IPv6Address, ...]] = []
    with lab.watcher("watch-addresses") as watcher:
        assert watcher.first == {"addresses": []}
        for _ in range(3):
            client = lab.start()
            events.append(watcher.take_addresses())
            truth.append((lab.wait_for_address(),))
            client.stop()
            events.append(watcher.take_addresses())
            truth.append(())
        assert events == truth
        assert watcher.rest() == []


def test_reloaded_miredo_gives_the_address_with_its_new_port(lab: Lab) -> None:
    """SIGHUP replaces the port, and with it the address."""
    client = lab.start()
    old = lab.wait_for_address()
    with lab.watcher("watch-addresses") as watcher:
        assert watcher.first == {"addresses": [str(old)]}
        client.reload()
        while not (addresses := watcher.take_addresses()):
            pass
        (address,) = addresses
        assert address != old
        assert [address.mapped_port] == lab.ports()


def test_wait_until_stable_ends_when_miredo_has_qualified(lab: Lab) -> None:
    """While Miredo runs and does not reach its server, the wait goes on."""
    lab.connect_server(False)
    try:
        lab.start()
        lab.wait_for_port()
        with lab.watcher("stable-addresses") as watcher:
            assert watcher.first == {"addresses": []}
            lab.connect_server(True)
            (address,) = watcher.take_addresses()
            assert address == lab.wait_for_address()
    finally:
        lab.connect_server(True)


def test_wait_until_stable_ends_at_once_without_miredo(lab: Lab) -> None:
    """If Miredo does not run, there is nothing to wait for."""
    with lab.watcher("stable-addresses") as watcher:
        assert watcher.first == {"addresses": []}
        assert watcher.take_addresses() == ()


def test_command_line_waits_for_the_address_of_miredo(lab: Lab) -> None:
    """``aioteredo address --wait`` prints the address of a Miredo that is starting."""
    lab.start()
    lab.wait_for_port()
    command = lab.command_line("address", "--backend", "miredo", "--wait", "--json")
    assert command.stdout is not None
    with command.stdout as lines:
        line = json.loads(lines.readline())
    assert command.wait(limit()) == 0
    assert line["address"] == str(lab.wait_for_address())
    assert [line["mapped_port"]] == lab.ports()


def test_miredo_behind_nat_has_the_address_and_the_port_of_the_nat() -> None:
    """The mapped port is not the local one, and the mapped address is the router's."""
    require("miredo", miredo_lab.missing())
    with Lab(nat=True) as lab:
        lab.start()
        truth = lab.wait_for_address()
        (address,) = lab.get_addresses()
        assert address == truth
        assert str(address.mapped_address) == "192.0.2.10"
        assert address.mapped_port == NAT_PORT
        assert lab.wait_for_port() != NAT_PORT
