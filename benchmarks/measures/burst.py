"""Throughput: callbacks without a pause, into a buffer that holds all of their events."""

from __future__ import annotations

from time import perf_counter_ns
from typing import ClassVar, Final

from aioteredo import PortEvent

from ..apparatus import loops
from ..apparatus.contender import Contender
from ..apparatus.contenders import DELIVERING, Recipe, find_contender
from ..apparatus.floors import BareDeque
from ..apparatus.measure import Measure, Metric, Samples, Setup, Workload
from ..apparatus.sources import LAST_PORT, SOURCES, TimeStamps
from ..apparatus.threads import start_thread

# The longer a burst, the more events the consumer finds waiting, and the faster it takes
# each. So only bursts of the same length are compared. A native thread is slow by itself:
# a million callbacks would take most of the run.
LENGTHS: Final = {
    "python": (1_000, 10_000, 100_000, 1_000_000),
    "native": (1_000, 10_000, 100_000),
}
CASES: Final = {
    f"{source}, {length:,} callbacks": (source, length)
    for source, lengths in LENGTHS.items()
    for length in lengths
}


class Burst(Measure):
    name = "burst"
    title = "Burst"
    base = Recipe.name
    metrics: ClassVar = {"events": Metric("1/s", higher_is_better=True)}
    quick, full = Workload(2, 10_000), Workload(5, 1_000_000)
    pinned = True

    def setups(self) -> list[Setup]:
        kinds: list[type[Contender]] = [*DELIVERING, BareDeque]
        return self.combine(((kind.name, kind.loops) for kind in kinds), CASES)

    def fits(self, setup: Setup, size: int) -> bool:
        _, length = CASES[setup.case]
        contender = find_contender(setup.contender, setup.loop)
        return length <= min(size, contender.longest_burst)

    def run(self, setup: Setup, size: int) -> Samples:
        kind, length = CASES[setup.case]
        length = min(length, size)
        contender = find_contender(setup.contender, setup.loop)
        source = SOURCES[kind]()
        delivered = 0
        end = 0

        def count_event(event: PortEvent) -> bool:
            nonlocal delivered
            delivered += 1
            return event.port == LAST_PORT

        def count_port(port: int) -> bool:
            nonlocal delivered
            delivered += 1
            return port == LAST_PORT

        async def main() -> TimeStamps:
            nonlocal end
            async with contender(source, setup.loop, length) as opened:
                join = start_thread(lambda: source.burst(length), pinned=True)
                await opened.consume(count_port if contender is BareDeque else count_event)
                end = perf_counter_ns()
                return join()

        stamps = loops.run(setup.loop, main)
        setup.verify(delivered == length, "lost events")
        return {"events": [length / (end - stamps.entered[0]) * 1e9]}
