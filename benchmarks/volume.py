"""Many callbacks at once: how fast they get through, and what a stalled loop holds."""

from __future__ import annotations

import gc
import tracemalloc
from time import perf_counter_ns
from typing import ClassVar, Final

import anyio
import trio

from aioteredo import PortEvent

from . import loops
from .contenders import ALL, Aioteredo, Ceiling, Consumer, Recipe, find
from .dispatch import BUFFER, on_thread
from .measure import Cell, Measure, Metric, Plan, Samples, check, for_each
from .sources import LAST_PORT, SOURCES, Stamps

DEFAULT_BUFFER: Final = f"{Aioteredo.name}, buffer {BUFFER}"
PILOT: Final = 500
# ns an event: who is slower gets fewer of them (a native callback alone takes 6 µs)
PATIENCE: Final = {"python": 1_000, "native": 250}


class Burst(Measure):
    """Callbacks as fast as they come, all events kept but with the default buffer."""

    name = "burst"
    title = "Burst"
    base = Recipe.name
    metrics: ClassVar = {
        "events": Metric("1/s", higher_is_better=True),
        "delivered": Metric("%", about=True),
        "callbacks": Metric("", about=True),
    }
    quick, full = Plan(3, 10_000), Plan(5, 1_000_000)

    def __init__(self) -> None:
        self._counts: dict[Cell, int] = {}

    def cells(self) -> list[Cell]:
        contenders = [(c.name, c.loops) for c in ALL if c.keeps_events and c.sees_each]
        contenders += [(DEFAULT_BUFFER, loops.EVERY), (Ceiling.name, Ceiling.loops)]
        return for_each(contenders, tuple(SOURCES))

    def run(self, cell: Cell, size: int) -> Samples:
        if cell not in self._counts:
            time, _ = self._burst(cell, min(size, PILOT))
            self._counts[cell] = max(PILOT, int(size * PATIENCE[cell.case] / time * PILOT))
        count = min(size, self._counts[cell])
        time, delivered = self._burst(cell, count)
        return {
            "events": [delivered / time * 1e9],
            "delivered": [100 * delivered / count],
            "callbacks": [count],
        }

    def _burst(self, cell: Cell, count: int) -> tuple[int, int]:
        default = cell.contender == DEFAULT_BUFFER
        contender = Aioteredo if default else find(cell.contender, cell.loop)
        delivered = missed = end = 0
        source = SOURCES[cell.case]()

        def count_events(event: PortEvent) -> bool:
            nonlocal delivered
            delivered += 1
            return event.port == LAST_PORT

        def count_missed_too(event: PortEvent) -> bool:
            nonlocal delivered, missed
            delivered += 1
            missed += event.missed
            return event.port == LAST_PORT

        def count_ints(port: int) -> bool:
            nonlocal delivered
            delivered += 1
            return port == LAST_PORT

        consumer: Consumer = count_events
        if default:
            consumer = count_missed_too
        elif contender is Ceiling:
            consumer = count_ints

        async def main() -> Stamps:
            nonlocal end
            buffer = BUFFER if default else count
            async with contender(source, cell.loop, buffer) as opened:
                stamps = on_thread(lambda: source.burst(count))
                await opened.consume(consumer)
                end = perf_counter_ns()
                return stamps()

        stamps = loops.run(cell.loop, main)
        check(delivered + missed == count, cell, "lost events")
        return end - stamps.entered[0], delivered


class Stalled(Measure):
    """Callbacks while the loop's thread is blocked."""

    name = "stalled"
    title = "What a stalled loop holds"
    base = Recipe.name
    metrics: ClassVar = {
        "handles": Metric("", exact=True),
        "events": Metric("", exact=True),
        "memory": Metric("B"),
    }
    quick, full = Plan(1, 5_000), Plan(1, 100_000)

    def cells(self) -> list[Cell]:
        holding = [
            c for c in ALL if c.keeps_events and c.sees_each and not c.waits_for_loop
        ]
        return for_each(((c.name, c.loops) for c in holding), ["python"])

    def run(self, cell: Cell, size: int) -> Samples:
        contender = find(cell.contender, cell.loop)
        source = SOURCES[cell.case]()
        events = 0

        def consumer(event: PortEvent) -> bool:
            nonlocal events
            events += 1
            return event.port == LAST_PORT

        async def main() -> tuple[int, int]:
            async with (
                contender(source, cell.loop, BUFFER) as opened,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(opened.consume, consumer)
                await anyio.wait_all_tasks_blocked()
                gc.collect()
                before = _handles(cell.loop)
                tracemalloc.start()
                on_thread(lambda: source.burst(size))()  # the loop's thread waits here
                gc.collect()
                memory, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                handles = _handles(cell.loop) - before
            return handles, memory

        handles, memory = loops.run(cell.loop, main)
        return {"handles": [handles], "events": [events], "memory": [memory]}


def _handles(loop: str) -> int:
    """How many calls are posted to the running loop and not run yet."""
    if loop == "trio":
        return len(trio.lowlevel.current_trio_token()._reentry_queue.queue)
    # a loop has no public count; its handles are objects like any other
    return sum(type(o).__name__ == "Handle" for o in gc.get_objects())
