"""Miredo itself, with a watcher in another process that has no privilege."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import json

from ...support import miredo_lab
from ...support.miredo import (
    INITIAL,
)
from ...support.miredo_lab import NAT_PORT, Lab
from ...support.requirements import require
from ...support.waiting import limit


def take_until(watcher: miredo_lab.Watcher, port: int) -> list[int | None]:
    """Return the ports of the next events, up to *port*."""
    ports = [watcher.take_port()]
    while ports[-1] != port:
        ports.append(watcher.take_port())
    return ports


def test_watcher_has_no_privilege(lab: Lab) -> None:
    """The watcher of the tests below runs as nobody, without capabilities."""
    watcher = lab.watch()
    assert watcher.privileges == {
        "uid": ["65534"] * 4,
        "groups": [],
        "CapEff": "0" * 16,
        "CapPrm": "0" * 16,
    }


def test_get_teredo_port_returns_the_port_of_a_running_miredo(lab: Lab) -> None:
    """After Miredo has stopped, ``get_teredo_port()`` returns None."""
    assert lab.get_port() is None
    client = lab.start()
    port = lab.wait_for_port()
    assert lab.get_port() == port
    client.stop()
    assert lab.get_port() is None


def test_miredo_started_before_the_watch_is_the_initial_port(lab: Lab) -> None:
    """The initial event has the port of the running Miredo."""
    lab.start()
    port = lab.wait_for_port()
    event = lab.watch().first
    assert (event["port"], event["type"], event["missed"]) == (port, INITIAL, 0)


@pytest.mark.parametrize("restarts", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_miredo_restarted_gives_each_port_and_no_other(lab: Lab, restarts: int) -> None:
    """Each start and each stop gives one event, with the real port."""
    watcher = lab.watch()
    assert watcher.first["port"] is None
    events: list[int | None] = []
    truth: list[int | None] = []
    for _ in range(restarts):
        client = lab.start()
        events.append(watcher.take_port())
        truth.append(lab.wait_for_port())
        client.stop()
        events.append(watcher.take_port())
        lab.wait_for_no_port()
        truth.append(None)
    assert events == truth
    assert watcher.rest() == []


def test_miredo_reloaded_gives_its_new_port(lab: Lab) -> None:
    """SIGHUP replaces the worker and its port, and the new port is reported."""
    watcher = lab.watch()
    client = lab.start()
    port = lab.wait_for_port()
    assert take_until(watcher, port) == [port]
    for _ in range(3):
        client.reload()
        old = port
        port = lab.wait_for_port(port)
        assert take_until(watcher, port) in ([None, port], [port])
        assert port != old
    client.stop()
    assert watcher.take_port() is None
    assert watcher.rest() == []


def test_miredo_whose_worker_crashes_gives_its_new_port(lab: Lab) -> None:
    """The worker's death is reported, and then the port of the next worker."""
    watcher = lab.watch()
    client = lab.start()
    old = lab.wait_for_port()
    assert take_until(watcher, old) == [old]
    client.crash()
    assert watcher.take_port() is None
    port = lab.wait_for_port(old)
    assert watcher.take_port() == port
    assert watcher.rest() == []


def test_command_line_prints_the_port_across_a_restart(lab: Lab) -> None:
    """``aioteredo watch --backend miredo --json`` prints each port of the client."""
    command = lab.command_line(
        *("watch", "--backend", "miredo", "--initial", "--count", "4", "--json")
    )
    assert command.stdout is not None
    with command.stdout as lines:
        assert json.loads(lines.readline())["port"] is None
        client = lab.start()
        first = lab.wait_for_port()
        assert json.loads(lines.readline())["port"] == first
        client.stop()
        assert json.loads(lines.readline())["port"] is None
        lab.start()
        assert json.loads(lines.readline())["port"] == lab.wait_for_port(first)
    assert command.wait(limit()) == 0


def test_miredo_in_another_network_namespace_is_not_seen(lab: Lab) -> None:
    """A watcher in another network namespace gets no event of Miredo."""
    elsewhere = lab.watch("server")
    watcher = lab.watch()
    lab.start()
    port = lab.wait_for_port()
    assert take_until(watcher, port) == [port]
    lab.wait_for_address()
    assert elsewhere.first["port"] is None
    assert elsewhere.rest() == []


def test_miredo_behind_nat_gives_the_local_port() -> None:
    """The event has the local port, not the port that the NAT gives to the outside."""
    require("miredo", miredo_lab.missing())
    with Lab(nat=True) as lab:
        watcher = lab.watch()
        lab.start()
        port = lab.wait_for_port()
        assert take_until(watcher, port) == [port]
        outside = int(lab.wait_for_address()) >> 32 & 0xFFFF ^ 0xFFFF
        assert outside == NAT_PORT != port
        assert lab.get_port() == port
