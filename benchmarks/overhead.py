"""What a watch costs while nothing happens: to import, to open and close, to have it."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter_ns, process_time_ns
from typing import ClassVar, Final

import anyio

from aioteredo import watch_teredo_port

from . import loops
from .contenders import Aioteredo, Polling
from .measure import Cell, Measure, Metric, Plan, Samples, for_each
from .sources import SOURCES, PythonThread


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


NOTHING: Final = "no watch"


class Idle(Measure):
    """In a process of its own, for the system counts by process."""

    name = "idle"
    title = "A watch that nothing happens to, for a second"
    base = Polling.name
    metrics: ClassVar = {"wake-ups": Metric("1/s", exact=True), "processor": Metric("ns")}
    quick, full = Plan(1, 1), Plan(5, 1)

    def cells(self) -> list[Cell]:
        names = (NOTHING, Aioteredo.name, Polling.name)
        return for_each(((name, loops.EVERY) for name in names), ["python"])

    def run(self, cell: Cell, size: int) -> Samples:
        command = [sys.executable, "-m", "benchmarks.overhead", *cell, str(size)]
        output = subprocess.check_output(command)  # noqa: S603 - ours
        wakeups, processor = map(float, output.split())
        return {"wake-ups": [wakeups / size], "processor": [processor / size]}


def idle(cell: Cell, seconds: float) -> tuple[int, int]:
    """What one such process sees in *seconds*.

    :return: how often it was woken up, and its processor time in ns
    """
    if sys.platform == "win32":
        raise NotImplementedError
    import resource

    async def main() -> tuple[int, int]:
        async with anyio.create_task_group() as tasks:
            if cell.contender != NOTHING:
                contender = {c.name: c for c in (Aioteredo, Polling)}[cell.contender]
                opened = contender(PythonThread(), cell.loop, 1)
                tasks.start_soon(_wait_in, opened)
            await anyio.sleep(0.2)
            usage, time = resource.getrusage(resource.RUSAGE_SELF), process_time_ns()
            await anyio.sleep(seconds)
            now = resource.getrusage(resource.RUSAGE_SELF)
            # each wait gives the processor away; the one that ends this is not theirs
            wakeups = now.ru_nvcsw - usage.ru_nvcsw - 1
            time = process_time_ns() - time
            tasks.cancel_scope.cancel()
        return wakeups, time

    return loops.run(cell.loop, main)


async def _wait_in(opened: Aioteredo | Polling) -> None:
    async with opened:
        await opened.consume(lambda _: False)


IMPORT: Final = "import aioteredo"
IMPORT_WATCH: Final = "from aioteredo import watch_teredo_port"


class Import(Measure):
    """A whole process that does nothing else."""

    name = "import"
    title = "A process that imports it"
    base = "import anyio"
    metrics: ClassVar = {"time": Metric("ns")}
    quick, full = Plan(5, 1), Plan(40, 1)

    def cells(self) -> list[Cell]:
        return [
            Cell("none", "process", statement)
            for statement in (
                "pass",
                self.base,
                IMPORT,
                IMPORT_WATCH,
                "import asyncio",
            )
        ]

    def run(self, cell: Cell, size: int) -> Samples:  # noqa: ARG002
        command = [sys.executable, "-c", cell.contender]
        begin = perf_counter_ns()
        subprocess.check_call(command)  # noqa: S603 - ours
        return {"time": [perf_counter_ns() - begin]}


if __name__ == "__main__":
    print(*idle(Cell(*sys.argv[1:4]), float(sys.argv[4])))
