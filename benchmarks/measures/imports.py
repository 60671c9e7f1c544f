"""The life of a process that only imports aioteredo, or another library."""

from __future__ import annotations

import subprocess
import sys
from time import perf_counter_ns
from typing import ClassVar, Final

from ..apparatus.measure import Measure, Metric, Samples, Setup, Workload

STATEMENTS: Final = (
    "pass",
    "import anyio",
    "import aioteredo",
    "from aioteredo import watch_teredo_port",
    "import asyncio",
)


class Import(Measure):
    name = "import"
    title = "A process that only imports"
    base = "import anyio"
    metrics: ClassVar = {"time": Metric("ns")}
    quick, full = Workload(5, 1), Workload(40, 1)

    def setups(self) -> list[Setup]:
        return [Setup("none", "process", statement) for statement in STATEMENTS]

    def run(self, setup: Setup, size: int) -> Samples:  # noqa: ARG002
        command = [sys.executable, "-c", setup.contender]
        begin = perf_counter_ns()
        subprocess.check_call(command)  # noqa: S603 - no part is a user's input
        return {"time": [perf_counter_ns() - begin]}
