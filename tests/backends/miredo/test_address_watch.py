"""The changes of the addresses that a watch notices."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import contextlib
import socket
import threading
from collections.abc import Iterator

from aioteredo import BackendError, MiredoBackend, TeredoAddress
from aioteredo.backends.miredo import _subscription
from aioteredo.backends.miredo._listener import EventsLostError, Listener
from aioteredo.backends.miredo._netlink import Message

from ...support import miredo_lab
from ...support.addresses import (
    FIRST,
    SECOND,
    THIRD,
    add,
    add_with_detection,
    cable,
    fail_detection,
    ip,
    remove,
    tunnel_with,
)
from ...support.miredo import INITIAL, PARAMETER, open_fds, source_of, tunnel
from ...support.sinks import RecordingSink
from ...support.waiting import limit


@contextlib.contextmanager
def watching(backend: MiredoBackend, *, initial: bool = False) -> Iterator[RecordingSink]:
    """Subscribe a sink to the addresses for the block."""
    sink = RecordingSink()
    subscription = backend.subscribe_addresses(sink, initial=initial)
    try:
        yield sink
    finally:
        sink.release.set()
        subscription.cancel()


def take_change(sink: RecordingSink, known: set[TeredoAddress]) -> set[TeredoAddress]:
    """Return the next addresses that are not *known*, as a watch of the library does."""
    while True:
        addresses, notification_type = sink.take()
        assert notification_type == PARAMETER
        assert len(addresses) == len(set(addresses))
        if set(addresses) != known:
            return set(addresses)


def test_initial_is_pushed_before_subscribing_returns(backend: MiredoBackend) -> None:
    """The current addresses are the first event, pushed on the calling thread."""
    with tunnel_with(FIRST), watching(backend, initial=True) as sink:
        assert sink.take() == ((FIRST,), INITIAL)
        assert sink.threads[0] is threading.current_thread()


def test_without_initial_nothing_is_pushed(backend: MiredoBackend) -> None:
    """Addresses that exist when the watch begins are not a change."""
    with tunnel_with(FIRST), watching(backend) as sink:
        pass

    # The kernel can report the address after the watch has begun. The backend then pushes
    # the same addresses, which a watch of the library ignores.
    repetition = ((FIRST,), PARAMETER)
    assert [push for push in sink.pushed if push != repetition] == []


def test_each_change_brings_all_addresses(backend: MiredoBackend) -> None:
    """Each added and each removed address gives an event with all that are usable then."""
    with tunnel_with(FIRST), watching(backend) as sink:
        add(SECOND)
        assert take_change(sink, {FIRST}) == {FIRST, SECOND}
        add(THIRD)
        assert take_change(sink, {FIRST, SECOND}) == {FIRST, SECOND, THIRD}
        remove(FIRST)
        assert take_change(sink, {FIRST, SECOND, THIRD}) == {SECOND, THIRD}


def test_address_disappears_with_its_tunnel(backend: MiredoBackend) -> None:
    """When Miredo stops, the kernel removes the tunnel and its address."""
    with watching(backend) as sink:
        with tunnel_with(FIRST):
            assert take_change(sink, set()) == {FIRST}
        assert take_change(sink, {FIRST}) == set()


def test_tentative_address_is_reported_once_it_is_usable(backend: MiredoBackend) -> None:
    """The event comes at the end of duplicate address detection, not at its beginning."""
    cable()
    with watching(backend) as sink:
        add_with_detection(FIRST)
        ip("link", "set", "two", "up")
        assert take_change(sink, set()) == {FIRST}
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind((str(FIRST), 0))


def test_duplicate_address_is_never_reported(backend: MiredoBackend) -> None:
    """An address that another host has stays out of the events of other addresses."""
    cable()
    with watching(backend) as sink:
        ip("link", "set", "lo", "up")
        fail_detection(FIRST)
        add(SECOND, "lo")
        while SECOND not in (addresses := sink.take()[0]):
            pass
        # While the other host had the address, it was an address of this machine, too.
        assert addresses == (SECOND,)


def test_change_of_another_address_is_ignored(backend: MiredoBackend) -> None:
    """Events of other prefixes cause neither a dump nor a push."""
    with tunnel_with(), watching(backend) as sink:
        for number in range(1, 30):
            add(f"fd00::{number:x}")
        add(FIRST)
        assert sink.take() == ((FIRST,), PARAMETER)


def test_lost_events_cause_a_dump(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the kernel drops the event of an address, the dump finds the address."""
    lost = threading.Event()
    receive = Listener.receive

    def recorded(listener: Listener) -> list[Message]:
        try:
            messages = receive(listener)
        except EventsLostError:
            lost.set()
            raise
        # Only the loss may lead to the address, so the remaining events are hidden.
        hidden = sink.held.is_set()
        return [each._replace(type=0) for each in messages] if hidden else messages

    monkeypatch.setattr(Listener, "receive", recorded)
    sink = RecordingSink()
    with tunnel_with():
        subscription = backend.subscribe_addresses(sink, initial=False)
        try:
            links = source_of(subscription)._links.socket
            links.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            sink.hold = True
            add(FIRST)
            assert sink.held.wait(limit())
            sink.take()
            others = "addr add fd00::1 dev tun0\naddr del fd00::1 dev tun0\n" * 20
            miredo_lab.run("ip", "-batch", "-", text=others)
            add(SECOND)
            sink.release.set()
            assert take_change(sink, {FIRST}) == {FIRST, SECOND}
            assert lost.is_set()
        finally:
            sink.release.set()
            subscription.cancel()


def test_dump_that_fails_later_fails_the_sink(backend: MiredoBackend) -> None:
    """If the table cannot be read, the sink fails once and gets nothing more."""
    sink = RecordingSink()
    with tunnel_with():
        subscription = backend.subscribe_addresses(sink, initial=False)
        source_of(subscription)._table.close()
        add(FIRST)
        error = sink.take()
        add(SECOND)
        subscription.cancel()
    assert isinstance(error, BackendError)
    assert (error.symbol, error.table) == ("EBADF", "errno")
    assert sink.empty()


def test_watches_of_addresses_leave_nothing_open(backend: MiredoBackend) -> None:
    """After some watches, no descriptor and no thread is left."""
    before = open_fds()
    threads = set(threading.enumerate())
    with tunnel():
        for _ in range(20):
            with watching(backend, initial=True):
                pass
    assert open_fds() == before
    assert set(threading.enumerate()) <= threads  # others of the suite may have ended
    assert not _subscription._subscriptions
