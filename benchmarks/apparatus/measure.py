"""What a measure is, and how all of them are run: interleaved and shuffled.

A cell is one contender on one kind of loop in one case. Each round runs every cell once,
in an order of its own and in a fresh event loop, so that a machine that drifts, or is
busy for a while, hits all alike. What is compared later is compared round by round.

Threads are kept apart: the loop on one processor, the notifying thread on another. Left
alone, the scheduler decides anew in each round whether they share one, and that is worth
more than all else: a factor of 3 where the loop is idle, of 2 in the recipe's bursts. Where
other tasks keep the loop busy, or nothing runs there, they are left alone.
"""

from __future__ import annotations

import faulthandler
import gc
import random
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from . import loops
from .threads import keep_apart, let_go

HANGING: Final = 60.0  # s

WARM_UP: Final = 3  # the first events of a slot, which find everything cold

Samples = dict[str, Sequence[float]]  # by metric


class Cell(NamedTuple):
    loop: str
    case: str
    contender: str


@dataclass(frozen=True)
class Plan:
    """How much is done: so many rounds, of so many events (or cycles, or seconds)."""

    rounds: int
    size: int


@dataclass(frozen=True)
class Metric:
    """What is read off.

    :param distribution: its samples are kept as a histogram, since their tail matters
    :param exact: a count that is the same in each run: any more of it is a regression
    """

    unit: str
    higher_is_better: bool = False
    distribution: bool = False
    exact: bool = False


class Measure(ABC):
    """One measure: cells, and how to run one of them."""

    name: ClassVar[str]
    title: ClassVar[str]
    base: ClassVar[str]  # the contender that ratios are to
    metrics: ClassVar[dict[str, Metric]]
    quick: ClassVar[Plan]
    full: ClassVar[Plan]
    apart: ClassVar[bool] = False  # the loop and the notifying thread

    @abstractmethod
    def cells(self) -> list[Cell]: ...

    def fits(self, cell: Cell, size: int) -> bool:  # noqa: ARG002
        """Whether *cell* is part of a plan of that size."""
        return True

    @abstractmethod
    def run(self, cell: Cell, size: int) -> Samples: ...


class Row(NamedTuple):
    """All that was measured of one metric of one cell; ``rounds[i]`` is round *i*'s."""

    measure: str
    cell: Cell
    metric: str
    size: int
    rounds: list[Sequence[float]]


def cells_of(measure: Measure, plan: Plan) -> list[Cell]:
    """The cells of *measure* that are part of *plan*."""
    return [cell for cell in measure.cells() if measure.fits(cell, plan.size)]


def run(
    measure: Measure, plan: Plan, rng: random.Random, progress: Iterable[object]
) -> list[Row]:
    """Run all cells of *measure* in each round.

    :param progress: is advanced once per cell
    """
    ticks = iter(progress)
    cells = cells_of(measure, plan)
    rounds: dict[tuple[Cell, str], list[Sequence[float]]] = defaultdict(list)
    try:
        if measure.apart:
            keep_apart(0)
        # What the libraries have made is no garbage: it need not be gone through before
        # each cell (15 ms, half of a quick run) or within one.
        gc.collect()
        gc.freeze()
        for _ in range(plan.rounds):
            for cell in rng.sample(cells, len(cells)):
                gc.collect()
                faulthandler.dump_traceback_later(HANGING, exit=True, file=2)
                samples = measure.run(cell, plan.size)
                for metric in measure.metrics:
                    rounds[cell, metric].append(samples[metric])
                next(ticks, None)
    finally:
        gc.unfreeze()
        faulthandler.cancel_dump_traceback_later()
        let_go()
    return [
        Row(measure.name, cell, metric, plan.size, rounds[cell, metric])
        for cell in cells
        for metric in measure.metrics
    ]


def check(right: bool, cell: Cell, what: str) -> None:
    """Refuse figures of a contender that did something else than it was to do.

    :raises RuntimeError: if it is not *right*
    """
    if not right:
        raise RuntimeError(f"{', '.join(cell)}: {what}")


def for_each(
    contenders: Iterable[tuple[str, Sequence[str]]], cases: Sequence[str]
) -> list[Cell]:
    """A cell for each contender in each case, on each of its loops that is here."""
    return [
        Cell(loop, case, name)
        for name, its_loops in contenders
        for loop in its_loops
        if loop in loops.AVAILABLE
        for case in cases
    ]
