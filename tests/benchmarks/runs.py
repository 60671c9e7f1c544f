"""Runs for the tests of the analysis: small ones, and ones whose truth is known."""

from __future__ import annotations

import functools
import random
from typing import Any, ClassVar

from benchmarks.apparatus import results
from benchmarks.apparatus.measure import (
    Measure,
    Metric,
    Row,
    Samples,
    Setup,
    Workload,
    run_rounds,
)
from benchmarks.apparatus.results import Results
from benchmarks.measures.burst import Burst
from benchmarks.measures.callback_cost import CallbackCost
from benchmarks.measures.fan_out import FanOut
from benchmarks.measures.latency import Latency
from benchmarks.measures.stalled import Stalled


class RandomMeasure(Measure):
    """A machine that gets slower, on which aioteredo takes *factor* times the floor's time.

    ``order`` lists the setups as they were run.
    """

    name = "random"
    title = "Random"
    base = "floor"
    metrics: ClassVar = {"time": Metric("ns", has_tail=True)}
    quick = full = Workload(30, 40)

    def __init__(self, factor: float, seed: int) -> None:
        self.factor = factor
        self.random = random.Random(seed)
        self.order: list[Setup] = []

    def setups(self) -> list[Setup]:
        return [Setup("none", "", name) for name in ("floor", "aioteredo")]

    def run(self, setup: Setup, size: int) -> Samples:
        self.order.append(setup)
        scale = 1 + len(self.order) // 2 / 10
        if setup.contender == "aioteredo":
            scale *= self.factor
        draw = self.random.lognormvariate
        return {"time": [1e5 * scale * draw(0, 0.2) for _ in range(size)]}


def random_run(factor: float, seed: int) -> Results:
    """Run a RandomMeasure. The order of the setups is the same in each round."""
    measure = RandomMeasure(factor, seed)
    size = measure.full.size
    rows = [Row(measure.name, setup, "time", size, []) for setup in measure.setups()]
    for _ in range(measure.full.rounds):
        for row in rows:
            row.rounds.append(measure.run(row.setup, size)["time"])
    return Results({}, rows)


@functools.cache
def small_run() -> Results:
    """Measure a few contenders on asyncio, once for all tests."""
    rows: list[Row] = []
    for kind in (Latency, Burst, FanOut, Stalled, CallbackCost):
        measure = kind()
        names = {measure.base, "floor", "second floor", "aioteredo"}

        def setups(all_: Any = measure.setups, names: Any = names) -> list[Setup]:
            return [c for c in all_() if c.contender in names and c.loop == "asyncio"]

        measure.setups = setups  # type: ignore[method-assign]
        workload = Workload(2, Burst.quick.size if kind is Burst else 10)
        rows += run_rounds(measure, workload, random.Random(1), lambda: None)
    return Results(results.describe_environment("python -m benchmarks", 1), rows)
