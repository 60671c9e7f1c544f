"""What a watch costs while nothing happens."""

from __future__ import annotations

import subprocess
import sys
from time import process_time_ns
from typing import ClassVar, Final

import anyio

from ..apparatus import loops
from ..apparatus.contenders import Aioteredo, Polling
from ..apparatus.measure import Cell, Measure, Metric, Plan, Samples, for_each
from ..apparatus.sources import PythonThread

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
        command = [sys.executable, "-m", "benchmarks.measures.idle", *cell, str(size)]
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


if __name__ == "__main__":
    print(*idle(Cell(*sys.argv[1:4]), float(sys.argv[4])))
