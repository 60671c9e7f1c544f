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
from ..apparatus.contenders import ALL, POLLING_INTERVAL, find
from ..apparatus.measure import (
    WARM_UP,
    Cell,
    Measure,
    Metric,
    Plan,
    Samples,
    check,
    for_each,
)
from ..apparatus.sources import SOURCES, Source, Stamps, ports
from ..apparatus.threads import on_thread

BUSY_TASKS: Final = 50
SWITCH_INTERVAL: Final = 100e-6  # s
POLLS: Final = 3  # of 50 ms each; more would take longer than all else together


class Latency(Measure):
    """Idle consumer."""

    name = "latency"
    title = "Dispatch latency, idle consumer"
    base = "floor"
    metrics: ClassVar = {"latency": Metric("ns", distribution=True)}
    quick, full = Plan(3, 20), Plan(100, 50)
    apart = True
    busy_tasks = 0

    def cells(self) -> list[Cell]:
        return for_each(((c.name, c.loops) for c in ALL), tuple(SOURCES))

    def run(self, cell: Cell, size: int) -> Samples:
        source = SOURCES[cell.case]()
        contender = find(cell.contender, cell.loop)
        count = size if contender.sees_each else POLLS
        received, stamps, events = pace(contender, cell, source, count, self.busy_tasks)
        if contender.keeps_events:
            right = [event.port for event in events] == ports(count)
            check(right, cell, "wrong events")
        latencies = [r - e for r, e in zip(received, stamps.entered, strict=True)]
        return {"latency": latencies[WARM_UP if contender.sees_each else 0 :]}


class LoadedLatency(Latency):
    """The same in a busy loop."""

    name = "loaded"
    title = f"Dispatch latency, {BUSY_TASKS} other tasks busy"
    quick, full = Plan(2, 8), Plan(8, 20)
    apart = False
    busy_tasks = BUSY_TASKS

    def run(self, cell: Cell, size: int) -> Samples:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        try:
            return super().run(cell, size)
        finally:
            sys.setswitchinterval(interval)


def pace(
    contender: type[Contender], cell: Cell, source: Source, count: int, busy_tasks: int
) -> tuple[array[int], Stamps, list[Any]]:
    received, events = array("q"), list[Any]()

    def consumer(event: Any) -> bool:
        received.append(perf_counter_ns())
        events.append(event)
        if len(received) == count:
            return True
        if contender.sees_each:
            source.resume()
        else:
            # a change knows nothing of when it will be looked for
            delay = random.uniform(0, POLLING_INTERVAL)  # noqa: S311 - no secret
            timer = Timer(delay, source.resume)
            timer.daemon = True
            timer.start()
        return False

    async def main() -> Stamps:
        async with contender(source, cell.loop, BUFFER) as opened:
            result = on_thread(lambda: source.pace(count), apart=not busy_tasks)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(start)
                await opened.consume(consumer)
                tasks.cancel_scope.cancel()
            return result()

    async def start() -> None:
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as tasks:
            for _ in range(busy_tasks):
                tasks.start_soon(_busy, cell.loop)
            source.resume()

    stamps = loops.run(cell.loop, main)
    return received, stamps, events


async def _busy(loop: str) -> None:
    sleep = loops.sleep(loop)
    while True:
        for _ in range(500):
            pass
        await sleep(0)
