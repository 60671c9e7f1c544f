"""The changes that a watch notices, and the events that cause a dump."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import contextlib
import queue
import select
import selectors
import socket
import threading
from typing import Any

from aioteredo import MiredoBackend
from aioteredo.backends.miredo import _ports
from aioteredo.backends.miredo._inet_diag import (
    CloseListener,
    SocketTable,
    UdpSocket,
)

from ...support import miredo_lab
from ...support.miredo import (
    INITIAL,
    PARAMETER,
    ObservedDumps,
    bound,
    port_of,
    tunnel,
    unbound,
    watching,
)
from ...support.sinks import RecordingSink
from ...support.waiting import limit


def test_initial_is_pushed_before_subscribe_returns(backend: MiredoBackend) -> None:
    """The current port is the first event, pushed on the calling thread."""
    with bound() as sock, watching(backend, initial=True) as (sink, _):
        assert sink.take() == (port_of(sock), INITIAL)
        assert sink.threads == [threading.current_thread()]
        assert sink.empty()


def test_without_initial_nothing_is_pushed(backend: MiredoBackend) -> None:
    """A port that exists when the watch begins is not a change."""
    with bound(), watching(backend) as (sink, _):
        pass
    assert sink.empty()


def closing_before_the_filter(monkeypatch: pytest.MonkeyPatch, sock: socket.socket) -> None:
    """Close *sock* after a dump has found it, before the filter lets its event through."""
    follow = CloseListener.follow

    def close_first(listener: CloseListener, found: UdpSocket | None) -> None:
        if found is not None:
            with contextlib.closing(CloseListener()) as witness:
                sock.close()
                select.select([witness], [], [], limit())
        follow(listener, found)

    monkeypatch.setattr(CloseListener, "follow", close_first)


def test_socket_closed_before_the_filter_is_set_is_noticed(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new socket that is closed before its filter is set gives two events."""
    with watching(backend) as (sink, _):
        sock = bound()
        port = port_of(sock)
        assert sink.take() == (port, PARAMETER)
        sock.close()
        assert sink.take() == (None, PARAMETER)
        sock = unbound()
        closing_before_the_filter(monkeypatch, sock)
        sock.bind(("", port))
        with tunnel():
            assert [sink.take(), sink.take()] == [(port, PARAMETER), (None, PARAMETER)]


def test_socket_closed_while_subscribing_is_noticed(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that is closed between the first dump and its filter is noticed."""
    sock = bound()
    port = port_of(sock)
    closing_before_the_filter(monkeypatch, sock)
    with watching(backend, initial=True) as (sink, _):
        assert [sink.take(), sink.take()] == [(port, INITIAL), (None, PARAMETER)]


def test_bind_after_a_tunnel_was_announced_is_noticed(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repeated dumps after a new tunnel find a bind that no event announces."""
    monkeypatch.setattr(_ports, "RETRY_FOR", limit())
    dumps = ObservedDumps(monkeypatch)
    sink = RecordingSink()
    with monkeypatch.context() as patch:
        patch.setattr(_ports, "RETRY_FOR", 0.0)
        subscription = backend.subscribe(sink, initial=False)
    try:
        dumps.expect()
        with tunnel():
            dumps.wait()
            with bound() as sock:
                assert sink.take() == (port_of(sock), PARAMETER)
            assert sink.take() == (None, PARAMETER)
    finally:
        subscription.cancel()


def test_bind_right_after_subscribing_is_noticed(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dumps are repeated at the beginning, in case a tunnel was announced before."""
    monkeypatch.setattr(_ports, "RETRY_FOR", limit())
    with watching(backend) as (sink, _), bound() as sock:
        assert sink.take() == (port_of(sock), PARAMETER)


def test_late_bind_is_noticed_with_the_address(
    backend: MiredoBackend, no_retry: None
) -> None:
    """A bind after the repeated dumps is found when the tunnel gets its address."""
    with watching(backend) as (sink, _), tunnel(), bound() as sock:
        miredo_lab.run("ip", "link", "set", "tun0", "up")
        miredo_lab.run("ip", "addr", "add", "2001::1/32", "dev", "tun0")
        assert sink.take() == (port_of(sock), PARAMETER)


def test_late_bind_is_noticed_without_an_event(
    backend: MiredoBackend, no_retry: None, soon: None
) -> None:
    """The dump of each minute finds a bind long after the tunnel was announced."""
    with watching(backend) as (sink, _), tunnel(), bound() as sock:
        assert sink.take() == (port_of(sock), PARAMETER)


def test_late_bind_with_an_older_tunnel_is_noticed(
    backend: MiredoBackend, no_retry: None, soon: None
) -> None:
    """The dump of each minute finds a bind if the tunnel is older than the watch."""
    with tunnel(), watching(backend) as (sink, _), bound() as sock:
        assert sink.take() == (port_of(sock), PARAMETER)


def test_second_bind_with_the_same_tunnel_is_noticed(
    backend: MiredoBackend, no_retry: None, soon: None
) -> None:
    """A client that binds another socket without another tunnel is followed."""
    sock = bound()
    with tunnel(), watching(backend) as (sink, _):
        sock.close()
        assert sink.take() == (None, PARAMETER)
        with bound() as second:
            assert sink.take() == (port_of(second), PARAMETER)


@pytest.mark.parametrize(
    ("with_tunnel", "with_port", "expected"),
    [(False, False, None), (False, True, None), (True, False, 60.0), (True, True, None)],
)
def test_only_a_tunnel_without_a_port_causes_a_dump_each_minute(
    backend: MiredoBackend,
    no_retry: None,
    monkeypatch: pytest.MonkeyPatch,
    with_tunnel: bool,
    with_port: bool,
    expected: float | None,
) -> None:
    """In the other states, the thread sleeps until there is an event."""
    timeouts = queue.SimpleQueue[float | None]()
    select = selectors.DefaultSelector.select

    def recorded(selector: Any, timeout: float | None = None) -> Any:
        timeouts.put(timeout)
        return select(selector, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", recorded)
    with (
        tunnel() if with_tunnel else contextlib.nullcontext(),
        bound() if with_port else contextlib.nullcontext(),
        watching(backend),
    ):
        assert timeouts.get(timeout=limit()) == expected


def test_close_is_noticed_without_a_tunnel(backend: MiredoBackend, no_retry: None) -> None:
    """The event of the closed socket is enough."""
    sock = bound()
    with watching(backend) as (sink, _):
        sock.close()
        assert sink.take() == (None, PARAMETER)


def test_tunnel_removed_before_the_socket_is_not_a_change(
    backend: MiredoBackend, no_retry: None
) -> None:
    """Only the socket counts, even if its tunnel is removed first."""
    sock = bound()
    with watching(backend) as (sink, _):
        with tunnel():
            pass
        sock.close()
        assert sink.take() == (None, PARAMETER)
    assert sink.empty()


def test_same_port_of_another_socket_is_a_change(
    backend: MiredoBackend, no_retry: None
) -> None:
    """A restart on a fixed port is reported, because the socket is another one."""
    with bound(reuse=True) as first:
        port = port_of(first)
        with watching(backend, initial=True) as (sink, _), bound(port, reuse=True):
            first.close()
            assert [sink.take(), sink.take()] == [(port, INITIAL), (port, PARAMETER)]


def count_dumps(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that grows with each dump."""
    dumps: list[None] = []
    unconnected = SocketTable.unconnected

    def counted(table: SocketTable) -> list[UdpSocket]:
        dumps.append(None)
        return unconnected(table)

    monkeypatch.setattr(SocketTable, "unconnected", counted)
    return dumps


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_closing_other_sockets_causes_no_dump(
    backend: MiredoBackend,
    no_retry: None,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    """The kernel filters the events of other sockets, even of those on the same port."""
    sock = bound(reuse=True)
    port = port_of(sock)
    with watching(backend) as (sink, _):
        dumps = count_dumps(monkeypatch)
        for _ in range(count // 2):
            bound(uid=0).close()
            bound(port, reuse=True).close()
        assert dumps == []
        sock.close()
        assert sink.take() == (None, PARAMETER)
    assert sink.empty()
