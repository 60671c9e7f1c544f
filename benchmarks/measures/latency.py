"""Dispatch latency: from the callback's entry to the consumer's next line.

The consumer is idle: its loop has gone to sleep before each callback. Under load, fifty
other tasks keep the loop busy, each for some ten microseconds a turn. Such a loop lets
go of the GIL once a turn, too briefly for a thread on another processor to wake up and
take it; and since it was woken for it, that thread never waits out the interpreter's
switch interval, after which it would be given the GIL. With the default of 5 ms, eight
callbacks took 7 to 23 s in seven of twelve tries: a Python thread waits before its
callback, a native one in it. That is CPython's, and the same for all who are called back
by a thread; so under load the interval is shorter than a turn of the loop.
"""

from __future__ import annotations

import random
import sys
from array import array
from threading import Timer
from time import perf_counter_ns
from typing import Any, ClassVar, Final

import anyio

from ..apparatus import loops
from ..apparatus.contender import BUFFER, Contender
from ..apparatus.contenders import CONTENDERS, POLLING_INTERVAL, find_contender
from ..apparatus.measure import (
    WARM_UP,
    Measure,
    Metric,
    Samples,
    Setup,
    Workload,
    setups_for,
    verify,
)
from ..apparatus.sources import SOURCES, Source, TimeStamps, port_sequence
from ..apparatus.threads import start_thread

BUSY_TASKS: Final = 50
SWITCH_INTERVAL: Final = 100e-6  # s
POLLS: Final = 3  # of 50 ms each; more would take longer than all else together


class Latency(Measure):
    """Idle consumer."""

    name = "latency"
    title = "Dispatch latency, idle consumer"
    base = "floor"
    metrics: ClassVar = {"latency": Metric("ns", distribution=True)}
    quick, full = Workload(3, 20), Workload(100, 50)
    pinned = True
    busy_tasks = 0

    def setups(self) -> list[Setup]:
        return setups_for(((c.name, c.loops) for c in CONTENDERS), tuple(SOURCES))

    def run(self, setup: Setup, size: int) -> Samples:
        source = SOURCES[setup.case]()
        contender = find_contender(setup.contender, setup.loop)
        count = size if contender.sees_every_event else POLLS
        received, stamps, events = run_paced(
            contender, setup, source, count, self.busy_tasks
        )
        if contender.keeps_events:
            right = [event.port for event in events] == port_sequence(count)
            verify(right, setup, "wrong events")
        latencies = [r - e for r, e in zip(received, stamps.entered, strict=True)]
        return {"latency": latencies[WARM_UP if contender.sees_every_event else 0 :]}


class LoadedLatency(Latency):
    """The same in a busy loop."""

    name = "loaded"
    title = f"Dispatch latency, {BUSY_TASKS} other tasks busy"
    quick, full = Workload(2, 8), Workload(8, 20)
    pinned = False
    busy_tasks = BUSY_TASKS

    def run(self, setup: Setup, size: int) -> Samples:
        format_estimate = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        try:
            return super().run(setup, size)
        finally:
            sys.setswitchinterval(format_estimate)


def run_paced(
    contender: type[Contender], setup: Setup, source: Source, count: int, busy_tasks: int
) -> tuple[array[int], TimeStamps, list[Any]]:
    received, events = array("q"), list[Any]()

    def consumer(event: Any) -> bool:
        received.append(perf_counter_ns())
        events.append(event)
        if len(received) == count:
            return True
        if contender.sees_every_event:
            source.resume()
        else:
            # a change knows nothing of when it will be looked for
            delay = random.uniform(0, POLLING_INTERVAL)  # noqa: S311 - no secret
            timer = Timer(delay, source.resume)
            timer.daemon = True
            timer.start()
        return False

    async def main() -> TimeStamps:
        async with contender(source, setup.loop, BUFFER) as opened:
            result = start_thread(lambda: source.pace(count), pinned=not busy_tasks)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(start)
                await opened.consume(consumer)
                tasks.cancel_scope.cancel()
            return result()

    async def start() -> None:
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            for _ in range(busy_tasks):
                tasks.start_soon(_keep_busy, setup.loop)
            source.resume()

    stamps = loops.run(setup.loop, main)
    return received, stamps, events


async def _keep_busy(loop: str) -> None:
    sleep = loops.sleep(loop)
    while True:
        for _ in range(500):
            pass
        await sleep(0)
