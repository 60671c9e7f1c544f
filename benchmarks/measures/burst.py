"""Many callbacks at once: how fast they get through."""

from __future__ import annotations

from time import perf_counter_ns
from typing import ClassVar, Final

from aioteredo import PortEvent

from ..apparatus import loops
from ..apparatus.contender import Consumer, Contender
from ..apparatus.contenders import CONTENDERS, Recipe, find_contender
from ..apparatus.floors import BareDeque
from ..apparatus.measure import (
    Measure,
    Metric,
    Samples,
    Setup,
    Workload,
    setups_for,
    verify,
)
from ..apparatus.sources import LAST_PORT, SOURCES, TimeStamps
from ..apparatus.threads import start_thread

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
    quick, full = Workload(2, 10_000), Workload(5, 1_000_000)
    pinned = True  # as a machine with nothing else to do has them

    def setups(self) -> list[Setup]:
        contenders = [c for c in CONTENDERS if c.keeps_events and c.sees_every_event]
        named = [
            *((c.name, c.loops) for c in contenders),
            (BareDeque.name, BareDeque.loops),
        ]
        return setups_for(named, tuple(CASES))

    def fits(self, setup: Setup, size: int) -> bool:
        _, number = CASES[setup.case]
        return number <= min(
            size, find_contender(setup.contender, setup.loop).longest_burst
        )

    def run(self, setup: Setup, size: int) -> Samples:
        source, number = CASES[setup.case]
        number = min(number, size)
        contender = find_contender(setup.contender, setup.loop)
        time, delivered = burst(contender, setup.loop, source, number)
        verify(delivered == number, setup, "lost events")
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

    consumer: Consumer = count_ints if contender is BareDeque else count

    async def main() -> TimeStamps:
        nonlocal end
        async with contender(source, loop, number) as opened:
            stamps = start_thread(lambda: source.burst(number), pinned=True)
            await opened.consume(consumer)
            end = perf_counter_ns()
            return stamps()

    stamps = loops.run(loop, main)
    return end - stamps.entered[0], delivered
