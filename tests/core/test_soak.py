"""Long repetitions: a part of each in every run, all of it with ``-m soak``."""

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
from aioteredo.backends.iphlpapi import _subscription as _iphlpapi_subscription

from ..native import StandIn
from ..support.requirements import FREE_THREADED
from ..support.waiting import eventually
from .exits import EXITS, check_quiet_exit, run_exit

every_loop = pytest.mark.every_loop


# A free-threaded CPython is much slower in native callbacks, because it makes and destroys
# a thread state for each. On a busy machine a tenth of them would exceed the time limit.
CALLBACKS_DIVISOR: Final = 100 if FREE_THREADED else 10


def repeated(full: int, divisor: int = 10) -> pytest.MarkDecorator:
    """Pass ``count`` to a test: a part of *full* in every run, *full* with ``-m soak``."""
    soak = [pytest.mark.soak, pytest.mark.timeout(900)]
    return pytest.mark.parametrize(
        "count", [full // divisor, pytest.param(full, marks=soak)]
    )


def threads_of_the_package() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("aioteredo")]


def memory_of_the_package() -> int:
    """Return the bytes that lines of the package have allocated and not freed."""
    gc.collect()
    package = str(Path(aioteredo.__file__).parent / "*")
    filters = [tracemalloc.Filter(inclusive=True, filename_pattern=package)]
    snapshot = tracemalloc.take_snapshot().filter_traces(filters)
    return sum(trace.size for trace in snapshot.traces)


@every_loop
@repeated(100_000, CALLBACKS_DIVISOR)
async def test_events_of_a_long_burst_are_received_in_order(
    stand_in: StandIn, count: int
) -> None:
    """A buffer that is large enough drops no event of a native thread."""
    async with watch_teredo_port(max_buffer_size=count, backend=stand_in.backend) as events:
        stand_in.start(1, count)
        for number in range(1, count + 1):
            event = await events.receive()
            assert event.port == (number & 0xFFFF or None)
            assert event.missed == 0

    assert stand_in.called == count


@every_loop
@repeated(100_000, CALLBACKS_DIVISOR)
async def test_stalled_loop_holds_the_buffer_only(stand_in: StandIn, count: int) -> None:
    """While no task receives, memory does not grow, and the newest event is kept."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.fire(1, 1000)  # Let the buffer and the caches grow to their size.
        tracemalloc.start()

        try:
            stand_in.fire(1, count)
            assert memory_of_the_package() < 16 * 256
        finally:
            tracemalloc.stop()

        received = [await events.receive() for _ in range(16)]

    assert received[0].missed == 1000 + count - 16
    assert received[-1].port == (count & 0xFFFF)


@every_loop
@pytest.mark.parametrize("name", ["native", "simulated"])
@repeated(10_000)
@pytest.mark.timeout(300)  # A thousand cycles start two thousand threads.
async def test_watches_that_open_and_close_during_callbacks_leave_nothing(
    stand_in: StandIn, count: int, name: str
) -> None:
    """After many cycles no registration, no thread and no memory is left."""
    simulated = SimulatedBackend(restart_every=1e-4)
    backend = stand_in.backend if name == "native" else simulated
    if name == "native":
        stand_in.start(1, -1)

    async def cycles(number: int) -> int:
        for index in range(number):
            async with watch_teredo_port(
                initial=bool(index % 2), backend=backend
            ) as events:
                if index % 3 == 0:
                    await events.receive()

        return memory_of_the_package()

    tracemalloc.start()
    try:
        before = await cycles(100)
        after = await cycles(count)
    finally:
        tracemalloc.stop()
        stand_in.join()

    # A watch that is leaked takes more than 1,000 bytes. A free-threaded CPython frees some
    # memory later, when no other thread can read it any more.
    assert after - before < (100 * count if FREE_THREADED else 20_000)
    await eventually(lambda: not threads_of_the_package(), "no thread is left")

    assert not _registration._subscriptions
    assert not _iphlpapi_subscription._subscriptions
    assert simulated.subscriber_count == 0
    assert stand_in.registered == stand_in.cancelled
    assert stand_in.misused == 0


@repeated(200)
def test_many_interpreters_that_exit_during_callbacks_are_quiet(
    stand_in: StandIn, count: int
) -> None:
    """Each way to exit with a watch open is repeated."""
    exits = list(EXITS.values())
    for number in range(count):
        check_quiet_exit(run_exit(exits[number % len(exits)], stand_in))


@every_loop
@repeated(1_000)
async def test_scope_cancelled_at_a_random_await_leaves_nothing_registered(
    stand_in: StandIn, count: int
) -> None:
    """Each registration is cancelled once, at whichever await the scope is cancelled."""
    await cancelled_at_random(stand_in, count, "scope")


@pytest.mark.asyncio_loops
@repeated(1_000)
async def test_task_cancelled_at_a_random_await_leaves_nothing_registered(
    stand_in: StandIn, count: int
) -> None:
    """Each registration is cancelled once, at whichever await the task is cancelled."""
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
