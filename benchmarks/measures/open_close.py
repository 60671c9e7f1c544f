"""The time to open and close a watch.

The base is two calls of ``anyio.to_thread.run_sync`` that do nothing, because that is how
many calls in threads a watch needs that registers and cancels.
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import ClassVar, Final

import anyio

from aioteredo import Backend, share, watch_teredo_port

from ..apparatus import loops
from ..apparatus.contenders import Aioteredo
from ..apparatus.measure import Measure, Metric, Samples, Setup, Workload
from ..apparatus.sources import SOURCES

# Whether the watches share a registration, and whether another watch is open.
WATCHES: Final[dict[str, tuple[bool, bool]]] = {
    Aioteredo.name: (False, False),
    f"{Aioteredo.name}, beside another watch": (False, True),
    f"{Aioteredo.name}, shared": (True, False),
    f"{Aioteredo.name}, shared, beside another watch": (True, True),
}


class OpenClose(Measure):
    name = "open/close"
    title = "Opening and closing a watch"
    base = "two empty to_thread.run_sync"
    metrics: ClassVar = {"cycle": Metric("ns")}
    quick, full = Workload(2, 20), Workload(20, 200)

    def setups(self) -> list[Setup]:
        names = (*WATCHES, self.base)
        return self.combine(((name, loops.NAMES) for name in names), SOURCES)

    def run(self, setup: Setup, size: int) -> Samples:
        source = SOURCES[setup.case]()

        async def watches() -> int:
            shared, beside_another = WATCHES[setup.contender]
            backend = share(source.backend) if shared else source.backend
            if not beside_another:
                return await open_and_close(backend, size)
            async with watch_teredo_port(backend=backend):
                return await open_and_close(backend, size)

        async def threads() -> int:
            await anyio.to_thread.run_sync(int)  # The first call starts the thread.
            begin = perf_counter_ns()
            for _ in range(2 * size):
                await anyio.to_thread.run_sync(int)
            return perf_counter_ns() - begin

        main = threads if setup.contender == self.base else watches
        return {"cycle": [loops.run(setup.loop, main) / size]}


async def open_and_close(backend: Backend, size: int) -> int:
    """Return the time of *size* cycles, in ns."""
    async with watch_teredo_port(backend=backend):
        pass  # The first watch imports modules.
    begin = perf_counter_ns()
    for _ in range(size):
        async with watch_teredo_port(backend=backend):
            pass
    return perf_counter_ns() - begin
