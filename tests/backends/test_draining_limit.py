"""A wait for the consumers that reaches its limit, is cancelled, or is not possible."""

from __future__ import annotations

import asyncio
import math

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aioteredo import (
    PortEvent,
    SimulatedBackend,
    watch_teredo_port,
)

from ..support.waiting import eventually, limit
from .consumers import Consumer, following

every_loop = pytest.mark.every_loop

SHORT = 0.05
"""Seconds of a wait that the test expects to fail."""


@every_loop
async def test_event_that_nobody_receives_is_named_at_the_limit(
    client: SimulatedBackend,
) -> None:
    """The error says which stream holds how many events, and the remedy."""
    consumer = Consumer(client)
    async with following(consumer), watch_teredo_port(backend=client):
        client.burst([1, 2])
        with pytest.raises(
            TimeoutError,
            match=r"^not drained within 0.05 s: stream 2 of 2 holds 2 events. Let a task",
        ):
            await client.wait_until_drained(SHORT)


@every_loop
async def test_consumer_that_does_not_come_back_is_named_at_the_limit(
    client: SimulatedBackend,
) -> None:
    """The error tells a busy consumer from a stream that holds events."""
    busy = Consumer(client)
    async with following(busy), watch_teredo_port(backend=client) as events:
        busy.hold()
        client.set_port(1)
        assert await events.receive() == PortEvent(1)
        with pytest.raises(
            TimeoutError,
            match=r": stream 1 of 2 holds no event, but its consumer does not wait for the "
            r"next one; stream 2 of 2 holds no event, but",
        ):
            await client.wait_until_drained(SHORT)


@every_loop
async def test_single_event_is_named_in_the_singular(client: SimulatedBackend) -> None:
    """The error says "1 event"."""
    async with watch_teredo_port(backend=client):
        client.set_port(1)
        with pytest.raises(TimeoutError, match=r"stream 1 of 1 holds 1 event\. "):
            await client.wait_until_drained(SHORT)


@every_loop
async def test_cancelled_wait_leaves_nothing_behind(client: SimulatedBackend) -> None:
    """The client forgets a wait that a scope has cancelled."""
    async with watch_teredo_port(backend=client, initial=True):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.wait_until_drained, limit())
            await anyio.wait_all_tasks_blocked()
            assert len(client._client.drain_waits._wakes) == 1
            tasks.cancel_scope.cancel()
        assert not client._client.drain_waits._wakes


@pytest.mark.asyncio_loops
async def test_natively_cancelled_wait_leaves_nothing_behind(
    client: SimulatedBackend,
) -> None:
    """The client forgets a wait that ``task.cancel()`` has ended."""
    async with watch_teredo_port(backend=client, initial=True):
        task = asyncio.ensure_future(client.wait_until_drained(limit()))
        await anyio.wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not client._client.drain_waits._wakes


@every_loop
async def test_waiting_task_that_cannot_be_woken_harms_no_consumer(
    client: SimulatedBackend,
) -> None:
    """The consumer goes on, and the waiting task checks the streams at its limit."""
    consumer = Consumer(client)
    consumer.hold()

    def refuse() -> None:
        raise MemoryError

    async with following(consumer):
        client.set_port(1)
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(client.wait_until_drained, SHORT)
            await eventually(lambda: client._client.drain_waits._wakes, "a task that waits")
            wakes = client._client.drain_waits._wakes
            client._client.drain_waits._wakes = [refuse]
            consumer.may_go_on.set()
            await eventually(lambda: consumer.handled, "the event is handled")
            await checkpoint()
            client._client.drain_waits._wakes = wakes
        client.set_port(2)
        await client.wait_until_drained(limit())
        assert consumer.handled == [1, 2]


@every_loop
@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
async def test_limit_out_of_range_is_refused(
    client: SimulatedBackend, seconds: float
) -> None:
    """The ValueError names ``timeout`` and its value."""
    with pytest.raises(ValueError, match=f"^timeout must be .* not {seconds}"):
        await client.wait_until_drained(seconds)


@every_loop
async def test_limit_that_is_not_a_number_is_refused(client: SimulatedBackend) -> None:
    """The TypeError names ``timeout`` and its value."""
    with pytest.raises(TypeError, match="^timeout must be .* not '5'"):
        await client.wait_until_drained("5")  # type: ignore[arg-type]


def test_wait_outside_of_an_event_loop_raises(client: SimulatedBackend) -> None:
    """Without a running event loop, RuntimeError is raised."""
    with pytest.raises(RuntimeError):
        client.wait_until_drained().send(None)
