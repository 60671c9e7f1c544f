"""The wait until the consumers of a simulated client have handled their events."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Sequence

import anyio
import pytest
import trio
import trio.testing

from aioteredo import (
    BackendError,
    PortEventStream,
    SimulatedBackend,
    Sink,
    Subscription,
    watch_teredo_port,
)

from ..support.sinks import RecordingSink
from ..support.waiting import join, limit, start_thread
from .consumers import Consumer, following

every_loop = pytest.mark.every_loop


@every_loop
async def test_wait_after_a_control_returns_when_the_event_was_handled(
    client: SimulatedBackend,
) -> None:
    """After a control and the wait, each consumer has handled the event."""
    first = Consumer(client)
    second = Consumer(client)
    async with following(first, second):
        for port in (1, None, 65535):
            client.set_port(port)
            await client.wait_until_drained(limit())
            assert first.handled[-1] == second.handled[-1] == port
        client.burst(range(1, 11))
        await client.wait_until_drained(limit())
        assert first.handled[-10:] == second.handled[-10:] == [*range(1, 11)]


def test_wait_needs_no_time(client: SimulatedBackend) -> None:
    """The wait ends although the clock stands still, so nothing polls."""

    async def main() -> None:
        consumer = Consumer(client)
        async with following(consumer):
            client.set_port(1)
            await client.wait_until_drained()
            assert consumer.handled == [1]

    trio.run(main, clock=trio.testing.MockClock())


@every_loop
async def test_consumer_that_is_busy_with_its_event_is_waited_for(
    client: SimulatedBackend,
) -> None:
    """A consumer that awaits something else has not handled its event yet."""
    consumer = Consumer(client)
    consumer.hold()
    async with following(consumer) as tasks:
        client.set_port(1)
        returned = anyio.Event()

        async def wait() -> None:
            await client.wait_until_drained(limit())
            assert consumer.handled == [1]
            returned.set()

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not returned.is_set()
        consumer.may_go_on.set()
        await returned.wait()


@every_loop
async def test_event_that_comes_during_the_wait_is_waited_for_as_well(
    client: SimulatedBackend,
) -> None:
    """A consumer that changes the port itself has handled the change when the wait ends."""
    echo = Consumer(client)

    async def change() -> None:
        async with watch_teredo_port(backend=client) as events:
            started.set()
            async for event in events:
                if event.port is not None and event.port < 5:
                    client.set_port(event.port + 1)

    started = anyio.Event()
    async with following(echo) as tasks:
        tasks.start_soon(change)
        await started.wait()
        client.set_port(1)
        await client.wait_until_drained(limit())
        assert echo.handled == [1, 2, 3, 4, 5]


@every_loop
async def test_several_tasks_can_wait(client: SimulatedBackend) -> None:
    """All waiting tasks return."""
    consumer = Consumer(client)
    consumer.hold()
    async with following(consumer):
        client.set_port(1)
        async with anyio.create_task_group() as waiting:
            for _ in range(3):
                waiting.start_soon(client.wait_until_drained, limit())
            await anyio.wait_all_tasks_blocked()
            consumer.may_go_on.set()
        assert consumer.handled == [1]


@every_loop
async def test_events_that_a_full_buffer_dropped_are_not_waited_for(
    client: SimulatedBackend,
) -> None:
    """A consumer that missed events is drained once it has handled the newest one."""
    consumer = Consumer(client, max_buffer_size=1)
    async with following(consumer):
        client.burst(range(1, 101))
        await client.wait_until_drained(limit())
        assert consumer.handled == [100]


@every_loop
async def test_consumer_in_the_event_loop_of_another_thread_is_waited_for(
    client: SimulatedBackend,
) -> None:
    """The consumer in another thread has handled the event when the wait ends."""
    handled: list[int | None] = []
    opened = threading.Event()

    async def follow() -> None:
        with contextlib.suppress(BackendError):
            async with watch_teredo_port(backend=client) as events:
                opened.set()
                async for event in events:
                    await asyncio.sleep(0)
                    handled.append(event.port)

    thread = start_thread(lambda: asyncio.run(follow()))
    assert opened.wait(limit())
    for port in range(1, 101):
        client.set_port(port)
        await client.wait_until_drained(limit())
        assert handled[-1:] == [port]
    client.close()
    join(thread)


@every_loop
async def test_without_a_watch_the_wait_is_a_checkpoint(client: SimulatedBackend) -> None:
    """Without a stream, other tasks run once, and a cancelled scope cancels the wait."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(2):  # trio runs the tasks that are ready in an order by chance
            await client.wait_until_drained(limit())
        assert turns == 1
    with anyio.CancelScope() as scope:
        scope.cancel()
        await client.wait_until_drained(limit())
    assert scope.cancelled_caught


@every_loop
async def test_stream_without_an_event_is_not_waited_for(client: SimulatedBackend) -> None:
    """A stream that has had no event is drained, even if no task receives from it."""
    async with watch_teredo_port(backend=client):
        await client.wait_until_drained(limit())


@every_loop
async def test_sink_that_is_not_a_stream_is_not_waited_for(
    client: SimulatedBackend,
) -> None:
    """Another sink has handled an event when ``push()`` returns."""
    sink = RecordingSink()
    subscription = client.subscribe(sink, initial=True)
    client.set_port(1)
    await client.wait_until_drained(limit())
    subscription.cancel()


async def close(client: SimulatedBackend, events: PortEventStream) -> None:
    await events.aclose()


async def fail(client: SimulatedBackend, events: PortEventStream) -> None:
    client.fail(BackendError("GetTeredoPort", 31))


async def close_client(client: SimulatedBackend, events: PortEventStream) -> None:
    client.close()


@every_loop
@pytest.mark.parametrize("end", [close, fail, close_client])
async def test_stream_that_ends_is_not_waited_for_any_more(
    client: SimulatedBackend,
    end: Callable[[SimulatedBackend, PortEventStream], Coroutine[None, None, None]],
) -> None:
    """A stream that is closed or fails during the wait is not waited for any longer."""
    async with (
        watch_teredo_port(backend=client, initial=True) as events,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(client.wait_until_drained, 10 * limit())
        await anyio.wait_all_tasks_blocked()
        assert client._client.drain_waits._wakes
        tasks.start_soon(end, client, events)


@every_loop
async def test_stream_of_two_clients_is_waited_for_by_both(
    client: SimulatedBackend,
) -> None:
    """Each of two clients that push to one stream waits for its consumer."""

    class Both:
        def get_port(self) -> int | None:
            return client.get_port()

        def subscribe(self, sink: Sink, *, initial: bool) -> Subscription:
            subscriptions = [
                each.subscribe(sink, initial=initial) for each in (client, other)
            ]
            return Together(subscriptions)

    class Together:
        def __init__(self, subscriptions: Sequence[Subscription]) -> None:
            self._subscriptions = subscriptions

        def cancel(self) -> None:
            for subscription in self._subscriptions:
                subscription.cancel()

    with SimulatedBackend() as other:
        consumer = Consumer(Both())
        async with following(consumer):
            client.set_port(1)
            await client.wait_until_drained(limit())
            other.set_port(2)
            await other.wait_until_drained(limit())
            assert consumer.handled == [1, 2]


@every_loop
async def test_sink_that_is_subscribed_again_is_followed_once(
    client: SimulatedBackend,
) -> None:
    """If one sink is subscribed repeatedly, its consumer reports each wait once."""
    async with watch_teredo_port(backend=client) as events:
        for _ in range(3):
            client.subscribe(events._mailbox, initial=False).cancel()
        assert len(events._mailbox.on_wait) == 1
