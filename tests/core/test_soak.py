"""Long counts: a part of each in the plain suite, all of it under the marker ``soak``."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import tracemalloc
from pathlib import Path
from typing import Final

import anyio
import pytest
from anyio.lowlevel import checkpoint

import aioteredo
from aioteredo import SimulatedBackend, _registration, watch_teredo_port
from aioteredo.backends import iphlpapi

from ..native import StandIn
from ..support.requirements import FREE_THREADED
from ..support.waiting import eventually
from .test_exit import EXITS, check, run

every_loop = pytest.mark.every_loop


# A native callback takes CPython without the GIL many times as long, because CPython makes
# and destroys a thread state for each. A tenth of the callbacks would exceed the limit
# there on a busy machine.
PART: Final = 100 if FREE_THREADED else 10


def count(full: int) -> pytest.MarkDecorator:
    soak = [pytest.mark.soak, pytest.mark.timeout(900)]
    return pytest.mark.parametrize("count", [full // PART, pytest.param(full, marks=soak)])


def ours(threads: list[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threads if thread.name.startswith("aioteredo")]


def our_memory() -> int:
    """Bytes that the package's own lines hold: not the loop's, not coverage's."""
    gc.collect()
    package = str(Path(aioteredo.__file__).parent / "*")
    ours = [tracemalloc.Filter(inclusive=True, filename_pattern=package)]
    snapshot = tracemalloc.take_snapshot().filter_traces(ours)
    return sum(trace.size for trace in snapshot.traces)


@every_loop
@count(100_000)
async def test_every_callback_arrives_in_order(stand_in: StandIn, count: int) -> None:
    """A buffer that holds them loses and reorders nothing of a native thread's burst."""
    async with watch_teredo_port(max_buffer_size=count, backend=stand_in.backend) as events:
        stand_in.start(1, count)
        for number in range(1, count + 1):
            event = await events.receive()
            assert event.port == (number & 0xFFFF or None)
            assert event.missed == 0
    assert stand_in.called == count


@every_loop
@count(100_000)
async def test_stalled_loop_holds_little(stand_in: StandIn, count: int) -> None:
    """While nobody reads, no more than the buffer is held, and the newest survives."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.fire(1, 1000)  # whatever grows once has grown
        tracemalloc.start()
        try:
            stand_in.fire(1, count)
            assert our_memory() < 16 * 256
        finally:
            tracemalloc.stop()
        received = [await events.receive() for _ in range(16)]
    assert received[0].missed == 1000 + count - 16
    assert received[-1].port == (count & 0xFFFF)


@every_loop
@pytest.mark.parametrize("name", ["native", "simulated"])
@count(10_000)
@pytest.mark.timeout(300)  # a thousand cycles, each of two threads, beside two busy ones
async def test_opened_and_closed_under_fire(
    stand_in: StandIn, count: int, name: str
) -> None:
    """Open/close cycles leave no registration, no thread and no memory."""
    simulated = SimulatedBackend(restart_every=1e-4)
    backend = stand_in.backend if name == "native" else simulated
    stand_in.start(1, -1)

    async def cycles(number: int) -> int:
        for index in range(number):
            async with watch_teredo_port(
                initial=bool(index % 2), backend=backend
            ) as events:
                if index % 3 == 0:
                    await events.receive()
        return our_memory()

    tracemalloc.start()
    try:
        before = await cycles(100)
        after = await cycles(count)
    finally:
        tracemalloc.stop()
        stand_in.join()
    # A watch that is kept takes more than 1,000 bytes. Without the GIL, memory that
    # other threads may still look at is freed some time later.
    assert after - before < (100 * count if FREE_THREADED else 20_000)
    await eventually(lambda: not ours(threading.enumerate()), "no thread is left")
    assert not _registration._subscriptions
    assert not iphlpapi._subscriptions
    assert simulated.subscriber_count == 0
    assert stand_in.registered == stand_in.cancelled
    assert stand_in.misused == 0


@count(200)
def test_interpreter_exits_under_fire(stand_in: StandIn, count: int) -> None:
    """However the interpreter exits with a watch open, it does so quietly."""
    exits = list(EXITS.values())
    for number in range(count):
        check(run(exits[number % len(exits)], stand_in))


@every_loop
@count(1_000)
async def test_cancelled_at_a_random_await(stand_in: StandIn, count: int) -> None:
    """Wherever a watch is cancelled, it leaves one cancel for each registration."""
    await cancelled_at_random(stand_in, count, "scope")


@pytest.mark.asyncio_loops
@count(1_000)
async def test_cancelled_natively_at_a_random_await(stand_in: StandIn, count: int) -> None:
    """The same with ``task.cancel()``."""
    await cancelled_at_random(stand_in, count, "native")


async def cancelled_at_random(stand_in: StandIn, count: int, way: str) -> None:
    chance = random.Random(count)
    stand_in.start(1, -1)

    async def use(scope: anyio.CancelScope) -> None:
        with scope:
            async with watch_teredo_port(
                initial=chance.random() < 0.5, backend=stand_in.backend
            ) as events:
                for _ in range(chance.randrange(5)):
                    await events.receive()

    for _ in range(count):
        scope = anyio.CancelScope()
        if way == "scope":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use, scope)
                for _ in range(chance.randrange(60)):
                    await checkpoint()
                scope.cancel()
        else:
            task = asyncio.ensure_future(use(scope))
            for _ in range(chance.randrange(60)):
                await checkpoint()
            task.cancel()
            await asyncio.wait([task])
    stand_in.join()
    await eventually(lambda: not _registration._subscriptions, "no registration is left")
    assert stand_in.live == 0
    assert stand_in.registered == stand_in.cancelled
    assert stand_in.misused == 0
