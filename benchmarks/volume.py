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
from .contenders import ALL, Ceiling, Consumer, Contender, Recipe, find
from .dispatch import BUFFER, on_thread
from .measure import Cell, Measure, Metric, Plan, Samples, check, for_each
from .sources import LAST_PORT, SOURCES, Stamps

# Of a greater number, what the consumer finds waiting is more: what is compared is what
# was given the same. A callback from a native thread takes 6 µs by itself.
NUMBERS: Final = {
    "python": (1_000, 10_000, 100_000, 1_000_000),
    "native": (1_000, 10_000, 100_000),
}
CASES: Final = {
    f"{source}, {number:,} callbacks": (source, number)
    for source, numbers in NUMBERS.items()
    for number in numbers
}


class Burst(Measure):
    """Callbacks as fast as they come, into a buffer that holds them all."""

    name = "burst"
    title = "Burst"
    base = Recipe.name
    metrics: ClassVar = {"events": Metric("1/s", higher_is_better=True)}
    quick, full = Plan(2, 10_000), Plan(5, 1_000_000)
    apart = True  # as a machine with nothing else to do has them

    def cells(self) -> list[Cell]:
        contenders = [c for c in ALL if c.keeps_events and c.sees_each]
        named = [*((c.name, c.loops) for c in contenders), (Ceiling.name, Ceiling.loops)]
        return for_each(named, tuple(CASES))

    def fits(self, cell: Cell, size: int) -> bool:
        _, number = CASES[cell.case]
        return number <= min(size, find(cell.contender, cell.loop).longest_burst)

    def run(self, cell: Cell, size: int) -> Samples:
        source, number = CASES[cell.case]
        number = min(number, size)
        contender = find(cell.contender, cell.loop)
        time, delivered = burst(contender, cell.loop, source, number)
        check(delivered == number, cell, "lost events")
        return {"events": [number / time * 1e9]}


def burst(contender: type[Contender], loop: str, case: str, number: int) -> tuple[int, int]:
    """*number* callbacks, as fast as they come.

    :return: the ns from the first callback to the last event, and the number of events
    """
    delivered = end = 0
    source = SOURCES[case]()

    def count(event: PortEvent) -> bool:
        nonlocal delivered
        delivered += 1
        return event.port == LAST_PORT

    def count_ints(port: int) -> bool:
        nonlocal delivered
        delivered += 1
        return port == LAST_PORT

    consumer: Consumer = count_ints if contender is Ceiling else count

    async def main() -> Stamps:
        nonlocal end
        async with contender(source, loop, number) as opened:
            stamps = on_thread(lambda: source.burst(number), apart=True)
            await opened.consume(consumer)
            end = perf_counter_ns()
            return stamps()

    stamps = loops.run(loop, main)
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
                before = _posted(cell.loop)  # kept, so that none has the place of one
                tracemalloc.start()
                on_thread(lambda: source.burst(size))()  # the loop's thread waits here
                gc.collect()
                memory, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                known = set(map(id, before))
                handles = sum(id(call) not in known for call in _posted(cell.loop))
            return handles, memory

        handles, memory = loops.run(cell.loop, main)
        return {"handles": [handles], "events": [events], "memory": [memory]}


def _posted(loop: str) -> list[object]:
    """What is posted to the running loop and not run yet, or held still by who posted."""
    if loop == "trio":
        return list(trio.lowlevel.current_trio_token()._reentry_queue.queue)
    # a loop has no public list; its handles are objects like any other
    return [o for o in gc.get_objects() if type(o).__name__ == "Handle"]
