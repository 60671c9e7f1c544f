"""A test waits until the consumers of a simulated client have handled their events."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence

import anyio
import pytest
import trio
import trio.testing
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from aioteredo import (
    Backend,
    BackendError,
    PortEvent,
    PortEventStream,
    SimulatedBackend,
    Sink,
    Subscription,
    watch_teredo_port,
)

from ..support.sinks import RecordingSink
from ..support.waiting import eventually, join, limit, start_thread

every_loop = pytest.mark.every_loop

SHORT = 0.05
"""Seconds until a wait gives up that is meant to give up."""


@pytest.fixture
def client() -> Generator[SimulatedBackend]:
    with SimulatedBackend(1000) as client:
        yield client


class Consumer:
    """A task that handles one event after the other, each in several steps."""

    def __init__(self, backend: Backend, *, max_buffer_size: int = 16) -> None:
        self.handled: list[int | None] = []
        self.may_go_on = anyio.Event()
        self.may_go_on.set()
        self._backend = backend
        self._max_buffer_size = max_buffer_size

    def hold(self) -> None:
        """Have the consumer stop in the middle of the next event."""
        self.may_go_on = anyio.Event()

    async def follow(self, *, task_status: TaskStatus[None]) -> None:
        async with watch_teredo_port(
            backend=self._backend, max_buffer_size=self._max_buffer_size
        ) as events:
            task_status.started()
            async for event in events:
                await checkpoint()
                await self.may_go_on.wait()
                self.handled.append(event.port)


@contextlib.asynccontextmanager
async def following(*consumers: Consumer) -> AsyncIterator[anyio.abc.TaskGroup]:
    async with anyio.create_task_group() as tasks:
        for consumer in consumers:
            await tasks.start(consumer.follow)
        yield tasks
        tasks.cancel_scope.cancel()


@every_loop
async def test_event_of_a_control_has_been_handled(client: SimulatedBackend) -> None:
    """After a control and the wait, each consumer is through with the event."""
    first, second = Consumer(client), Consumer(client)
    async with following(first, second):
        for port in (1, None, 65535):
            client.set_port(port)
            await client.wait_until_drained(limit())
            assert first.handled[-1] == second.handled[-1] == port
        client.burst(range(1, 11))
        await client.wait_until_drained(limit())
        assert first.handled[-10:] == second.handled[-10:] == [*range(1, 11)]


def test_wait_needs_no_time(client: SimulatedBackend) -> None:
    """The wait ends although the clock stands still: nothing polls."""

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
async def test_several_tasks_wait(client: SimulatedBackend) -> None:
    """All tasks that wait return."""
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
    """The consumer of another loop and thread has handled the event when the wait ends."""
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
    """Without a stream the wait returns at once, and other tasks have had their turn."""
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
    """A stream that nobody receives from, and no event has come for, is drained."""
    async with watch_teredo_port(backend=client):
        await client.wait_until_drained(limit())


@every_loop
async def test_sink_that_is_not_a_stream_is_not_waited_for(
    client: SimulatedBackend,
) -> None:
    """A sink of another kind has taken an event when ``push`` returns."""
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
    """A stream that is closed, or fails, during the wait ends the wait for it."""
    async with (
        watch_teredo_port(backend=client, initial=True) as events,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(client.wait_until_drained, 10 * limit())
        await anyio.wait_all_tasks_blocked()
        assert client._client.drain_waits._wakes
        tasks.start_soon(end, client, events)


@every_loop
async def test_event_that_nobody_receives_is_named_at_the_limit(
    client: SimulatedBackend,
) -> None:
    """The error says how many events which stream holds, and what to do."""
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
    """The error tells a consumer that is busy, or has ended, from events that it left."""
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
    """A wait that a scope cancels is forgotten by the client."""
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
    """``task.cancel()`` ends the wait, and the client forgets it."""
    async with watch_teredo_port(backend=client, initial=True):
        task = asyncio.ensure_future(client.wait_until_drained(limit()))
        await anyio.wait_all_tasks_blocked()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not client._client.drain_waits._wakes


@every_loop
async def test_stream_that_two_clients_push_to(client: SimulatedBackend) -> None:
    """Each client of a backend that merges two of them waits for the one consumer."""

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
    """A backend that subscribes its sink again and again makes no consumer slower."""
    async with watch_teredo_port(backend=client) as events:
        for _ in range(3):
            client.subscribe(events._mailbox, initial=False).cancel()
        assert len(events._mailbox.on_wait) == 1


@every_loop
async def test_waiting_task_that_cannot_be_woken_harms_no_consumer(
    client: SimulatedBackend,
) -> None:
    """The consumer goes on, and the task that could not be woken looks at its limit."""
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
async def test_limit_out_of_range(client: SimulatedBackend, seconds: float) -> None:
    """A limit that is not more than 0 seconds, or has no end, is refused."""
    with pytest.raises(ValueError, match=f"^timeout must be .* not {seconds}"):
        await client.wait_until_drained(seconds)


@every_loop
async def test_limit_that_is_not_a_number(client: SimulatedBackend) -> None:
    """A limit that is not a number is refused."""
    with pytest.raises(TypeError, match="^timeout must be .* not '5'"):
        await client.wait_until_drained("5")  # type: ignore[arg-type]


def test_outside_of_an_event_loop(client: SimulatedBackend) -> None:
    """Without a running event loop, anyio's own RuntimeError is raised."""
    with pytest.raises(RuntimeError):
        client.wait_until_drained().send(None)
