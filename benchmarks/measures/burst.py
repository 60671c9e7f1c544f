"""Many callbacks at once: how fast they get through."""

from __future__ import annotations

from time import perf_counter_ns
from typing import ClassVar, Final

from aioteredo import PortEvent

from ..apparatus import loops
from ..apparatus.contender import Consumer, Contender
from ..apparatus.contenders import ALL, Recipe, find
from ..apparatus.floors import Ceiling
from ..apparatus.measure import Cell, Measure, Metric, Plan, Samples, check, for_each
from ..apparatus.sources import LAST_PORT, SOURCES, Stamps
from ..apparatus.threads import on_thread

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
