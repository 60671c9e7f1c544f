"""What it costs to open and close a watch."""

from __future__ import annotations

from time import perf_counter_ns
from typing import ClassVar

import anyio

from aioteredo import watch_teredo_port

from ..apparatus import loops
from ..apparatus.contenders import Aioteredo
from ..apparatus.measure import Measure, Metric, Samples, Setup, Workload, setups_for
from ..apparatus.sources import SOURCES


class OpenClose(Measure):
    """Cycles of opening and closing."""

    name = "open/close"
    title = "A watch opened and closed"
    base = "two empty to_thread.run_sync"
    metrics: ClassVar = {"cycle": Metric("ns")}
    quick, full = Workload(2, 20), Workload(20, 200)

    def setups(self) -> list[Setup]:
        both = ((Aioteredo.name, loops.NAMES), (self.base, loops.NAMES))
        return setups_for(both, tuple(SOURCES))

    def run(self, setup: Setup, size: int) -> Samples:
        source = SOURCES[setup.case]()

        async def watches() -> int:
            async with watch_teredo_port(backend=source.backend):
                pass  # what is imported late is imported now
            begin = perf_counter_ns()
            for _ in range(size):
                async with watch_teredo_port(backend=source.backend):
                    pass
            return perf_counter_ns() - begin

        async def threads() -> int:
            await anyio.to_thread.run_sync(int)
            begin = perf_counter_ns()
            for _ in range(2 * size):
                await anyio.to_thread.run_sync(int)
            return perf_counter_ns() - begin

        main = threads if setup.contender == self.base else watches
        return {"cycle": [loops.run(setup.loop, main) / size]}
