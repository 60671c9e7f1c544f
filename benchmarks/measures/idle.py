"""The wake-ups and the processor time of a watch to which nothing happens.

The system counts both for a whole process, so each setup runs in a process of its own:
``python -m benchmarks.measures.idle LOOP CASE CONTENDER SECONDS``.
"""

from __future__ import annotations

import subprocess
import sys
from time import process_time_ns
from typing import ClassVar, Final

import anyio

from ..apparatus import loops
from ..apparatus.contenders import Aioteredo, Polling
from ..apparatus.measure import Measure, Metric, Samples, Setup, Workload
from ..apparatus.sources import PythonThread

NO_WATCH: Final = "no watch"


class Idle(Measure):
    name = "idle"
    title = "One second of a watch to which nothing happens"
    base = Polling.name
    metrics: ClassVar = {
        "wake-ups": Metric("1/s", is_count=True),
        "processor": Metric("ns"),
    }
    quick, full = Workload(1, 1), Workload(5, 1)

    def setups(self) -> list[Setup]:
        names = (NO_WATCH, Aioteredo.name, Polling.name)
        return self.combine(((name, loops.NAMES) for name in names), ["python"])

    def run(self, setup: Setup, size: int) -> Samples:
        command = [sys.executable, "-m", "benchmarks.measures.idle", *setup, str(size)]
        output = subprocess.check_output(command)  # noqa: S603 - no part is a user's input
        wakeups, processor = map(float, output.split())
        return {"wake-ups": [wakeups / size], "processor": [processor / size]}


def count_wakeups(setup: Setup, seconds: float) -> tuple[int, int]:
    """Wait in this process for *seconds*.

    :return: how often the process was woken, and its processor time in ns
    """
    if sys.platform == "win32":
        raise NotImplementedError
    import resource

    async def main() -> tuple[int, int]:
        async with anyio.create_task_group() as tasks:
            if setup.contender != NO_WATCH:
                kind = Polling if setup.contender == Polling.name else Aioteredo
                tasks.start_soon(_consume, kind(PythonThread(), setup.loop, 1))
            await anyio.sleep(0.2)

            usage = resource.getrusage(resource.RUSAGE_SELF)
            begin = process_time_ns()
            await anyio.sleep(seconds)
            now = resource.getrusage(resource.RUSAGE_SELF)

            # A process that waits gives the processor away, which the system counts as a
            # voluntary context switch. One of them belongs to the sleep above.
            wakeups = now.ru_nvcsw - usage.ru_nvcsw - 1
            time = process_time_ns() - begin
            tasks.cancel_scope.cancel()
        return wakeups, time

    return loops.run(setup.loop, main)


async def _consume(contender: Aioteredo | Polling) -> None:
    async with contender:
        await contender.consume(lambda _: False)


if __name__ == "__main__":
    print(*count_wakeups(Setup(*sys.argv[1:4]), float(sys.argv[4])))
