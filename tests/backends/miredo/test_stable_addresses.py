"""The wait until the addresses are stable."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from aioteredo import MiredoBackend
from aioteredo.backends.miredo import _subscription

from ...support.addresses import (
    FIRST,
    SECOND,
    add,
    add_with_detection,
    cable,
    fail_detection,
    ip,
    tunnel_with,
)
from ...support.miredo import INITIAL, bound, open_fds, source_of
from ...support.sinks import RecordingSink


@contextlib.contextmanager
def waiting(backend: MiredoBackend) -> Iterator[RecordingSink]:
    """Subscribe a sink to the stable addresses for the block."""
    sink = RecordingSink()
    subscription = backend.subscribe_stable_addresses(sink)
    try:
        yield sink
    finally:
        subscription.cancel()


def first_push(sink: RecordingSink) -> Any:
    """Return the first push, which must have come by now.

    A second push of the same addresses may follow: the kernel can report an address after
    the backend has read it.
    """
    assert not sink.empty()
    return sink.take()


def test_usable_address_is_stable_at_once(backend: MiredoBackend) -> None:
    """The addresses are pushed before the call returns, on the calling thread."""
    with bound(), tunnel_with(FIRST), waiting(backend) as sink:
        assert first_push(sink) == ((FIRST,), INITIAL)
        assert sink.threads[0] is threading.current_thread()


@pytest.mark.usefixtures("no_retry")
def test_machine_without_a_client_is_stable_without_an_address(
    backend: MiredoBackend,
) -> None:
    """Without Miredo's socket, the wait ends at once, even if a VPN has a tunnel."""
    with tunnel_with(), waiting(backend) as sink:
        assert first_push(sink) == ((), INITIAL)


def test_client_that_has_no_address_yet_is_waited_for(backend: MiredoBackend) -> None:
    """A running Miredo is stable when it has qualified."""
    with bound(), tunnel_with(), waiting(backend) as sink:
        assert sink.empty()
        add(FIRST)
        assert sink.take() == ((FIRST,), INITIAL)


def test_client_that_stops_is_not_waited_for(
    backend: MiredoBackend, no_retry: None
) -> None:
    """If Miredo stops before it has qualified, the wait ends without an address."""
    sock = bound()
    with tunnel_with(), waiting(backend) as sink:
        assert sink.empty()
        sock.close()
        assert sink.take() == ((), INITIAL)


def test_tentative_address_is_waited_for(backend: MiredoBackend) -> None:
    """The addresses are stable when the last one has passed its detection."""
    cable()
    add_with_detection(FIRST)
    with tunnel_with(SECOND), waiting(backend) as sink:
        assert sink.empty()
        ip("link", "set", "two", "up")
        addresses, _ = sink.take()
        assert set(addresses) == {FIRST, SECOND}


def test_duplicate_address_is_not_waited_for(backend: MiredoBackend) -> None:
    """An address that has failed its detection stays as it is."""
    cable()
    fail_detection(FIRST)
    with waiting(backend) as sink:
        assert first_push(sink) == ((), INITIAL)


def test_failure_during_the_wait_fails_the_sink(backend: MiredoBackend) -> None:
    """If the table of addresses cannot be read, the sink fails."""
    sink = RecordingSink()
    with bound(), tunnel_with():
        subscription = backend.subscribe_stable_addresses(sink)
        source_of(subscription)._table.close()
        add(FIRST)
        assert sink.take().symbol == "EBADF"
        subscription.cancel()


def test_cancelled_wait_leaves_nothing_open(backend: MiredoBackend) -> None:
    """After a wait that was cancelled, no descriptor and no thread is left."""
    before = open_fds()
    with bound(), waiting(backend) as sink:
        pass
    assert sink.empty()
    assert open_fds() == before
    assert not _subscription._subscriptions
