"""The wait until the consumers of a simulated client that is shared have handled all."""

from __future__ import annotations

import anyio
import pytest
import trio
import trio.testing

from aioteredo import (
    SimulatedBackend,
    share,
    watch_teredo_addresses,
    watch_teredo_port,
)

from ..support.kinds import address
from ..support.sinks import RecordingSink
from ..support.waiting import limit
from .consumers import Consumer, following

every_loop = pytest.mark.every_loop


@every_loop
async def test_wait_after_a_control_returns_when_all_watches_have_handled_the_event(
    client: SimulatedBackend,
) -> None:
    """The client knows the streams behind its one registration, early and late ones."""
    shared = share(client)
    first = Consumer(shared)
    second = Consumer(shared)
    async with following(first):
        client.set_port(1)
        await client.wait_until_drained(limit())
        async with following(second):
            for port in (2, None, 65535):
                client.set_port(port)
                await client.wait_until_drained(limit())
                assert first.handled[-1] == second.handled[-1] == port


def test_wait_for_shared_watches_needs_no_time(client: SimulatedBackend) -> None:
    """The wait ends although the clock stands still, so nothing polls."""

    async def main() -> None:
        shared = share(client)
        consumers = [Consumer(shared) for _ in range(3)]
        async with following(*consumers):
            client.set_port(1)
            await client.wait_until_drained()
            assert [consumer.handled for consumer in consumers] == [[1]] * 3

    trio.run(main, clock=trio.testing.MockClock())


def test_watch_that_leaves_ends_the_wait_for_it(client: SimulatedBackend) -> None:
    """The wait ends when the watch that holds an event is closed, and not at its limit."""

    async def main() -> None:
        shared = share(client)
        holder = watch_teredo_port(backend=shared)
        await holder.__aenter__()
        client.set_port(1)
        waited: list[float] = []

        async def wait() -> None:
            begin = anyio.current_time()
            await client.wait_until_drained()
            waited.append(anyio.current_time() - begin)

        async with watch_teredo_port(backend=shared), anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not waited
            await holder.__aexit__(None, None, None)

        assert waited == [0]

    # A wait that goes on to its limit would get there by a jump of this clock.
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=1))


def test_sink_that_is_not_a_stream_is_skipped(client: SimulatedBackend) -> None:
    """A sink of a user's own behind the shared registration does not hold up the wait."""

    async def main() -> None:
        subscription = share(client).subscribe(RecordingSink(), initial=True)
        client.set_port(1)
        await client.wait_until_drained()
        subscription.cancel()

    trio.run(main, clock=trio.testing.MockClock())


@every_loop
async def test_wait_until_drained_knows_the_shared_streams_of_addresses(
    client: SimulatedBackend,
) -> None:
    """The wait names a stream that holds addresses."""
    shared = share(client)
    async with watch_teredo_addresses(backend=shared):
        client.set_addresses(address(1))
        with pytest.raises(TimeoutError, match="stream 1 of 1 holds 1 event"):
            await client.wait_until_drained(0.001)
