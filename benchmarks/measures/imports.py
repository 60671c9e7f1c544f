"""What it costs to import the library."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter_ns
from typing import ClassVar, Final

from ..apparatus.measure import Measure, Metric, Samples, Setup, Workload

IMPORT: Final = "import aioteredo"
IMPORT_WATCH: Final = "from aioteredo import watch_teredo_port"


class Import(Measure):
    """A whole process that does nothing else."""

    name = "import"
    title = "A process that imports it"
    base = "import anyio"
    metrics: ClassVar = {"time": Metric("ns")}
    quick, full = Workload(5, 1), Workload(40, 1)

    def setups(self) -> list[Setup]:
        return [
            Setup("none", "process", statement)
            for statement in (
                "pass",
                self.base,
                IMPORT,
                IMPORT_WATCH,
                "import asyncio",
            )
        ]

    def run(self, setup: Setup, size: int) -> Samples:  # noqa: ARG002
        command = [sys.executable, "-c", setup.contender]
        begin = perf_counter_ns()
        subprocess.check_call(command)  # noqa: S603 - ours
        return {"time": [perf_counter_ns() - begin]}
