"""What a watch costs while nothing happens."""

from __future__ import annotations

import subprocess
import sys
from time import process_time_ns
from typing import ClassVar, Final

import anyio

from ..apparatus import loops
from ..apparatus.contenders import Aioteredo, Polling
from ..apparatus.measure import Measure, Metric, Samples, Setup, Workload, setups_for
from ..apparatus.sources import PythonThread

NO_WATCH: Final = "no watch"


class Idle(Measure):
    """In a process of its own, for the system counts by process."""

    name = "idle"
    title = "A watch that nothing happens to, for a second"
    base = Polling.name
    metrics: ClassVar = {
        "wake-ups": Metric("1/s", is_count=True),
        "processor": Metric("ns"),
    }
    quick, full = Workload(1, 1), Workload(5, 1)

    def setups(self) -> list[Setup]:
        names = (NO_WATCH, Aioteredo.name, Polling.name)
        return setups_for(((name, loops.NAMES) for name in names), ["python"])

    def run(self, setup: Setup, size: int) -> Samples:
        command = [sys.executable, "-m", "benchmarks.measures.idle", *setup, str(size)]
        output = subprocess.check_output(command)  # noqa: S603 - ours
        wakeups, processor = map(float, output.split())
        return {"wake-ups": [wakeups / size], "processor": [processor / size]}


def count_wakeups(setup: Setup, seconds: float) -> tuple[int, int]:
    """What one such process sees in *seconds*.

    :return: how often it was woken up, and its processor time in ns
    """
    if sys.platform == "win32":
        raise NotImplementedError
    import resource

    async def main() -> tuple[int, int]:
        async with anyio.create_task_group() as tasks:
            if setup.contender != NO_WATCH:
                contender = {c.name: c for c in (Aioteredo, Polling)}[setup.contender]
                opened = contender(PythonThread(), setup.loop, 1)
                tasks.start_soon(_consume, opened)
            await anyio.sleep(0.2)
            usage, time = resource.getrusage(resource.RUSAGE_SELF), process_time_ns()
            await anyio.sleep(seconds)
            now = resource.getrusage(resource.RUSAGE_SELF)
            # each wait gives the processor away; the one that ends this is not theirs
            wakeups = now.ru_nvcsw - usage.ru_nvcsw - 1
            time = process_time_ns() - time
            tasks.cancel_scope.cancel()
        return wakeups, time

    return loops.run(setup.loop, main)


async def _consume(opened: Aioteredo | Polling) -> None:
    async with opened:
        await opened.consume(lambda _: False)


if __name__ == "__main__":
    print(*count_wakeups(Setup(*sys.argv[1:4]), float(sys.argv[4])))
