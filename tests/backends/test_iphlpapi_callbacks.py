"""The ctypes code with real native threads: the moments and values of callbacks."""

from __future__ import annotations

import gc
import sys
import threading

import pytest

from aioteredo import BackendError, NotificationType, PortEvent, watch_teredo_port
from aioteredo._mailbox import Mailbox
from aioteredo.backends.iphlpapi import _subscription as _iphlpapi_subscription

from ..native import INLINE, ON_DEMAND, OTHER_THREAD, StandIn
from ..support.mailboxes import PortMailbox
from ..support.streams import receive

every_loop = pytest.mark.every_loop


@every_loop
async def test_change_directly_after_registration_is_received(stand_in: StandIn) -> None:
    """A change that comes before the first receive() is received."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.change(1111)
        assert await events.receive() == PortEvent(1111)


INITIAL = NotificationType.INITIAL


@every_loop
async def test_port_0_of_the_initial_callback_is_not_the_port(stand_in: StandIn) -> None:
    """The initial event has the port of GetTeredoPort; the initial callback passes 0."""
    stand_in.set_port(4242)
    async with watch_teredo_port(initial=True, backend=stand_in.backend) as events:
        assert await events.receive() == PortEvent(4242, INITIAL)


@every_loop
@pytest.mark.parametrize("mode", [INLINE, OTHER_THREAD])
async def test_initial_callback_before_notify_returns_makes_one_event(
    stand_in: StandIn, mode: int
) -> None:
    """An initial callback during NotifyTeredoPortChange is received once."""
    stand_in.set_initial(mode)
    stand_in.set_port(1)
    async with watch_teredo_port(initial=True, backend=stand_in.backend) as events:
        stand_in.change(2)
        assert await receive(events, 2) == [PortEvent(1, INITIAL), PortEvent(2)]
    assert (stand_in.cancelled, stand_in.misused) == (1, 0)


@every_loop
async def test_initial_event_does_not_wait_for_the_initial_callback(
    stand_in: StandIn,
) -> None:
    """Without an initial callback there is an initial event; a late callback adds none."""
    stand_in.set_initial(ON_DEMAND)
    stand_in.set_port(1)
    async with watch_teredo_port(initial=True, backend=stand_in.backend) as events:
        stand_in.change(2)
        stand_in.fire_initial()
        stand_in.change(3)
        assert await receive(events, 3) == [
            PortEvent(1, INITIAL),
            PortEvent(2),
            PortEvent(3),
        ]


@every_loop
async def test_exception_in_the_callback_ends_the_stream(
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    unraisable: list[sys.UnraisableHookArgs],
) -> None:
    """After the earlier events, each receive() raises with the exception as its cause."""

    def push(self: PortMailbox, port: int | None, notification_type: int) -> None:
        if port == 3:
            raise ZeroDivisionError
        real_push(self, port, notification_type)

    real_push = Mailbox.push
    monkeypatch.setattr(Mailbox, "push", push)
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.change(1, 2, 3, 4)
        assert [event.port for event in await receive(events, 2)] == [1, 2]
        for _ in range(2):
            with pytest.raises(BackendError, match="CALLBACK") as raised:
                await events.receive()
            assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert not unraisable
    assert stand_in.cancelled == 1


@every_loop
async def test_callback_survives_the_garbage_collector(stand_in: StandIn) -> None:
    """The native callback outlives the backend object and every collection."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        for port in range(1, 11):
            gc.collect()
            stand_in.change(port)
        assert [event.port for event in await receive(events, 10)] == [*range(1, 11)]


@every_loop
@pytest.mark.parametrize("mode", [INLINE, OTHER_THREAD, ON_DEMAND])
async def test_initial_port_that_cannot_be_read_leaves_nothing_registered(
    stand_in: StandIn, mode: int
) -> None:
    """If GetTeredoPort fails, ``async with`` raises and the registration is cancelled."""
    stand_in.set_initial(mode)
    stand_in.fail("GetTeredoPort", 31)
    with pytest.raises(BackendError, match="GetTeredoPort: .*ERROR_GEN_FAILURE"):
        async with watch_teredo_port(initial=True, backend=stand_in.backend):
            pytest.fail("entered")
    assert (stand_in.registered, stand_in.cancelled, stand_in.live) == (1, 1, 0)
    assert not _iphlpapi_subscription._subscriptions


@every_loop
async def test_late_callback_of_a_closed_watch_reaches_no_other_watch(
    stand_in: StandIn,
) -> None:
    """A callback that comes after cancelling does not reach the next watch."""
    async with watch_teredo_port(backend=stand_in.backend):
        pass
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.fire_late(13)
        stand_in.change(14)
        assert await events.receive() == PortEvent(14)


@every_loop
async def test_port_65535_and_large_handles_come_through(stand_in: StandIn) -> None:
    """Port 65535, no port, handles above 2**32 and garbage in upper bits are handled."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.change(65535, 0, 1)
        assert [e.port for e in await receive(events, 3)] == [65535, None, 1]
    assert stand_in.misused == 0  # the handle came back whole


@every_loop
async def test_notifying_threads_leave_no_trace_in_threading(stand_in: StandIn) -> None:
    """The 100 native threads that notify are not listed by ``threading`` afterwards."""
    async with watch_teredo_port(backend=stand_in.backend):
        before = {*threading.enumerate()}
        stand_in.fire(1, 5, threads=100)
        assert {*threading.enumerate()} <= before
