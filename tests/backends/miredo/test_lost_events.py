"""Events that the kernel drops, or sends in a flood."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import contextlib
import select
import socket

from aioteredo import MiredoBackend
from aioteredo.backends.miredo import (
    _listener,
    _netlink,
    _ports,
)
from aioteredo.backends.miredo._inet_diag import (
    CloseListener,
)
from aioteredo.backends.miredo._listener import EventsLostError, Listener
from aioteredo.backends.miredo._netlink import NETLINK_ROUTE
from aioteredo.backends.miredo._tunnels import RTNLGRP_LINK

from ...support import miredo_lab
from ...support.miredo import (
    PARAMETER,
    ObservedDumps,
    bound,
    port_of,
    source_of,
    tunnel,
    watching,
)
from ...support.sinks import RecordingSink
from ...support.waiting import limit


def test_listener_with_a_full_buffer_reports_lost_events(netns: None) -> None:
    """The loss is reported once, and the remaining events can be read."""
    count = 50
    with (
        contextlib.closing(CloseListener()) as listener,
        contextlib.closing(CloseListener()) as witness,
    ):
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for _ in range(count):
            bound().close()
        # A worker of the kernel sends the events, at a time of its choice.
        received = 0
        while received < count:
            assert select.select([witness], [], [], limit())[0]
            received += len(witness.receive())
        with pytest.raises(EventsLostError):
            listener.receive()
        while listener.receive():
            pass


def test_lost_events_cause_a_dump(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost event may have been the tunnel's, so the dumps are repeated."""
    monkeypatch.setattr(_ports, "RETRY_FOR", limit())
    dumps = ObservedDumps(monkeypatch)
    receive = Listener.receive

    def recorded(listener: Listener) -> list[_netlink.Message]:
        try:
            return receive(listener)
        except EventsLostError:
            dumps.expect()
            raise

    monkeypatch.setattr(Listener, "receive", recorded)
    sock = bound()
    sink = RecordingSink()
    with monkeypatch.context() as patch:
        patch.setattr(_ports, "RETRY_FOR", 0.0)
        subscription = backend.subscribe(sink, initial=False)
    try:
        links = source_of(subscription)._links.socket
        links.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sink.hold = True
        sock.close()
        assert sink.held.wait(limit())
        no_tunnel = "link add one type veth peer name two\nlink del one\n" * 20
        miredo_lab.run("ip", "-batch", "-", text=no_tunnel)
        sink.release.set()
        assert sink.take() == (None, PARAMETER)
        dumps.wait()
        with bound() as second:
            assert sink.take() == (port_of(second), PARAMETER)
    finally:
        sink.release.set()
        subscription.cancel()


def test_unreadable_event_is_a_lost_event(netns: None) -> None:
    """A datagram that is cut off or is not a message raises EventsLostError."""
    with contextlib.closing(Listener(NETLINK_ROUTE, RTNLGRP_LINK)) as listener:
        listener.socket.close()
        listener.socket, kernel = socket.socketpair(type=socket.SOCK_DGRAM)
        with kernel:
            listener.socket.setblocking(False)
            kernel.send(b"garbage")
            with pytest.raises(EventsLostError):
                listener.receive()
            kernel.send(bytes(1 << 16))
            with pytest.raises(EventsLostError):
                listener.receive()
            assert listener.receive() == []


def test_flood_of_events_does_not_prevent_the_dump(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After BATCH datagrams there is a dump, even if more events are waiting."""
    monkeypatch.setattr(_listener, "BATCH", 1)
    sock = bound()
    with watching(backend) as (sink, _):
        for number in range(5):
            with tunnel(f"tun{number}"):
                pass
        sock.close()
        assert sink.take() == (None, PARAMETER)
