"""What it costs to open and close a watch."""

from __future__ import annotations

from time import perf_counter_ns
from typing import ClassVar

import anyio

from aioteredo import watch_teredo_port

from ..apparatus import loops
from ..apparatus.contenders import Aioteredo
from ..apparatus.measure import Cell, Measure, Metric, Plan, Samples, for_each
from ..apparatus.sources import SOURCES


class OpenClose(Measure):
    """Cycles of opening and closing."""

    name = "open/close"
    title = "A watch opened and closed"
    base = "two empty to_thread.run_sync"
    metrics: ClassVar = {"cycle": Metric("ns")}
    quick, full = Plan(2, 20), Plan(20, 200)

    def cells(self) -> list[Cell]:
        both = ((Aioteredo.name, loops.EVERY), (self.base, loops.EVERY))
        return for_each(both, tuple(SOURCES))

    def run(self, cell: Cell, size: int) -> Samples:
        source = SOURCES[cell.case]()

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

        main = threads if cell.contender == self.base else watches
        return {"cycle": [loops.run(cell.loop, main) / size]}
