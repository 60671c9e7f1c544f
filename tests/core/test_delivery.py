"""Native threads push events: each is received in order, or counted as missed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from aioteredo import PortEvent, SimulatedBackend, _mailbox, watch_teredo_port

from ..native import StandIn
from ..support.streams import receive

every_loop = pytest.mark.every_loop


@every_loop
@pytest.mark.parametrize("posted", [0, 1])
async def test_stalled_loop_holds_the_buffer_and_one_handle(
    stand_in: StandIn, posted: int
) -> None:
    """While the loop is stalled, 10,000 callbacks leave 16 events and at most one handle.

    The newest event survives. If no task waits, nothing is posted to the loop.
    """
    async with (
        watch_teredo_port(backend=stand_in.backend) as events,
        anyio.create_task_group() as tasks,
    ):
        mailbox = events._mailbox
        received = []

        async def read() -> None:
            received.append(await events.receive())

        if posted:
            tasks.start_soon(read)
        await wait_all_tasks_blocked()
        posts = 0
        wake = mailbox._wake

        def counting() -> bool:
            nonlocal posts
            posts += 1
            return wake()

        mailbox._wake = counting
        stand_in.fire(1, 10_000)
        assert posts == posted
        assert len(mailbox._events) == 16
        await wait_all_tasks_blocked()
        received += await receive(events, 16 - posted)

    assert received[0].missed == 10_000 - 16
    assert received[-1].port == 10_000


@every_loop
async def test_port_that_changed_there_and_back_is_counted_in_missed(
    stand_in: StandIn,
) -> None:
    """A consumer can tell that the port has changed and changed back."""
    async with watch_teredo_port(max_buffer_size=1, backend=stand_in.backend) as events:
        stand_in.change(1)
        assert await events.receive() == PortEvent(1)
        stand_in.change(2, 1)
        assert await events.receive() == PortEvent(1, missed=1)


@every_loop
async def test_event_between_the_look_and_the_sleep_wakes_the_consumer(
    stand_in: StandIn,
) -> None:
    """The consumer looks a second time before it sleeps."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        mailbox = events._mailbox
        prepare = mailbox._prepare
        late = iter(range(1, 101))

        def prepare_late() -> Awaitable[None]:
            # The first look has found no event, and the task does not sleep yet.
            stand_in.change(next(late))
            return prepare()

        mailbox._prepare = prepare_late
        received = await receive(events, 100)

    assert [event.port for event in received] == [*range(1, 101)]


@every_loop
@pytest.mark.parametrize("overlapping", [False, True])
async def test_order_is_kept_even_if_callbacks_overlap(
    stand_in: StandIn, overlapping: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event is lost or overtaken, even if the system overlaps its callbacks."""

    def clock() -> int:
        time.sleep(0)  # Let another thread run between the numbering and the appending.
        return time.monotonic_ns()

    monkeypatch.setattr(_mailbox, "monotonic_ns", clock)
    async with watch_teredo_port(
        max_buffer_size=10_000, backend=stand_in.backend
    ) as events:
        stand_in.fire(1, 2500, threads=4, overlapping=overlapping)
        received = await receive(events, 10_000)

    assert not any(event.missed for event in received)
    times = [event.monotonic_ns for event in received]
    assert times == sorted(times)

    for first in range(1, 10_001, 2500):
        mine = [e.port for e in received if first <= (e.port or 0) < first + 2500]
        assert mine == [*range(first, first + 2500)]


@every_loop
async def test_scope_cancelled_after_the_wakeup_loses_no_event(
    client: SimulatedBackend,
) -> None:
    """The event is received by the task, or by the next call of ``receive``."""
    received = []

    async def wait() -> None:
        received.append(await events.receive())

    async with watch_teredo_port(backend=client) as events:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await wait_all_tasks_blocked()
            events._mailbox.push(1, 0)
            tasks.cancel_scope.cancel()

        # The loop may run the wake-up or the cancellation first.
        if not received:
            await wait()

    assert received == [PortEvent(1)]


@pytest.mark.asyncio_loops
async def test_task_cancelled_after_the_wakeup_loses_no_event(
    client: SimulatedBackend,
) -> None:
    """After ``task.cancel()``, the next call of ``receive`` returns the event."""
    async with watch_teredo_port(backend=client) as events:
        task = asyncio.ensure_future(events.receive())
        await wait_all_tasks_blocked()
        events._mailbox.push(1, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await events.receive() == PortEvent(1)
