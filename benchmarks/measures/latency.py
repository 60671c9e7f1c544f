"""Dispatch latency: from the callback's entry to the consumer's next line.

The loop sleeps before each callback (``latency``), or is kept busy (``loaded``).
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
from ..apparatus.contender import DEFAULT_BUFFER, Contender
from ..apparatus.contenders import CONTENDERS, POLLING_INTERVAL, find_contender
from ..apparatus.measure import WARM_UP, Measure, Metric, Samples, Setup, Workload
from ..apparatus.sources import SOURCES, Source, TimeStamps, port_sequence
from ..apparatus.threads import start_thread

BUSY_TASKS: Final = 50
SWITCH_INTERVAL: Final = 100e-6  # seconds
POLLS: Final = 3  # Polling sleeps so long that more events would take most of the run.


class Latency(Measure):
    name = "latency"
    title = "Dispatch latency with an idle consumer"
    base = "floor"
    metrics: ClassVar = {"latency": Metric("ns", has_tail=True)}
    quick, full = Workload(3, 20), Workload(100, 50)
    pinned = True
    busy_tasks = 0

    def setups(self) -> list[Setup]:
        return self.combine(((kind.name, kind.loops) for kind in CONTENDERS), SOURCES)

    def run(self, setup: Setup, size: int) -> Samples:
        contender = find_contender(setup.contender, setup.loop)
        source = SOURCES[setup.case]()
        count = size if contender.sees_every_event else POLLS
        received, stamps, events = run_paced(
            contender, setup, source, count, self.busy_tasks
        )
        if contender.keeps_events:
            ports = [event.port for event in events]
            setup.verify(ports == port_sequence(count), "wrong events")

        latencies = [
            end - begin for end, begin in zip(received, stamps.entered, strict=True)
        ]
        return {"latency": latencies[WARM_UP if contender.sees_every_event else 0 :]}


class LoadedLatency(Latency):
    """The latency in a busy loop, with a shorter switch interval of the interpreter.

    Such a loop releases the GIL once in each turn, too briefly for a thread on another
    processor to take it. Each release wakes that thread, so it starts its wait for the
    switch interval again and never completes it. An interval longer than a turn of the loop
    would delay every contender's callback by seconds, and hide the differences.
    """

    name = "loaded"
    title = f"Dispatch latency while {BUSY_TASKS} other tasks are busy"
    quick, full = Workload(2, 8), Workload(8, 20)
    pinned = False
    busy_tasks = BUSY_TASKS

    def run(self, setup: Setup, size: int) -> Samples:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        try:
            return super().run(setup, size)
        finally:
            sys.setswitchinterval(interval)


def run_paced(
    contender: type[Contender], setup: Setup, source: Source, count: int, busy_tasks: int
) -> tuple[array[int], TimeStamps, list[Any]]:
    """Notify *contender* each time its consumer waits for the next event.

    :return: when the consumer received each event, the times of the callbacks, the events
    """
    received = array("q")
    events = list[Any]()

    def consumer(event: Any) -> bool:
        received.append(perf_counter_ns())
        events.append(event)
        if len(received) == count:
            return True
        if contender.sees_every_event:
            source.resume()
        else:
            # A change comes at any moment between two looks. One that always came right
            # after a look would be found a whole interval later each time.
            delay = random.uniform(0, POLLING_INTERVAL)  # noqa: S311 - no secret
            timer = Timer(delay, source.resume)
            timer.daemon = True
            timer.start()
        return False

    async def main() -> TimeStamps:
        async with contender(source, setup.loop, DEFAULT_BUFFER) as opened:
            join = start_thread(lambda: source.pace(count), pinned=not busy_tasks)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(start)
                await opened.consume(consumer)
                tasks.cancel_scope.cancel()
            return join()

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
