"""What a measure is, and how all of them are run: interleaved and shuffled.

A setup is one contender on one kind of loop in one case. Each round runs every setup once,
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
from .threads import pin_thread, unpin_thread

HANGING: Final = 60.0  # s

WARM_UP: Final = 3  # the first events of a slot, which find everything cold

Samples = dict[str, Sequence[float]]  # by metric


class Setup(NamedTuple):
    loop: str
    case: str
    contender: str


@dataclass(frozen=True)
class Workload:
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
    is_count: bool = False


class Measure(ABC):
    """One measure: setups, and how to run one of them."""

    name: ClassVar[str]
    title: ClassVar[str]
    base: ClassVar[str]  # the contender that ratios are to
    metrics: ClassVar[dict[str, Metric]]
    quick: ClassVar[Workload]
    full: ClassVar[Workload]
    pinned: ClassVar[bool] = False  # the loop and the notifying thread

    @abstractmethod
    def setups(self) -> list[Setup]: ...

    def fits(self, setup: Setup, size: int) -> bool:  # noqa: ARG002
        """Whether *setup* is part of a workload of that size."""
        return True

    @abstractmethod
    def run(self, setup: Setup, size: int) -> Samples: ...


class Row(NamedTuple):
    """All that was measured of one metric of one setup; ``rounds[i]`` is round *i*'s."""

    measure: str
    setup: Setup
    metric: str
    size: int
    rounds: list[Sequence[float]]


def setups_within(measure: Measure, workload: Workload) -> list[Setup]:
    """The setups of *measure* that are part of *workload*."""
    return [setup for setup in measure.setups() if measure.fits(setup, workload.size)]


def run_rounds(
    measure: Measure, workload: Workload, rng: random.Random, progress: Iterable[object]
) -> list[Row]:
    """Run all setups of *measure* in each round.

    :param progress: is advanced once per setup
    """
    ticks = iter(progress)
    setups = setups_within(measure, workload)
    rounds: dict[tuple[Setup, str], list[Sequence[float]]] = defaultdict(list)
    try:
        if measure.pinned:
            pin_thread(0)
        # What the libraries have made is no garbage: it need not be gone through before
        # each setup (15 ms, half of a quick run) or within one.
        gc.collect()
        gc.freeze()
        for _ in range(workload.rounds):
            for setup in rng.sample(setups, len(setups)):
                gc.collect()
                faulthandler.dump_traceback_later(HANGING, exit=True, file=2)
                samples = measure.run(setup, workload.size)
                for metric in measure.metrics:
                    rounds[setup, metric].append(samples[metric])
                next(ticks, None)
    finally:
        gc.unfreeze()
        faulthandler.cancel_dump_traceback_later()
        unpin_thread()
    return [
        Row(measure.name, setup, metric, workload.size, rounds[setup, metric])
        for setup in setups
        for metric in measure.metrics
    ]


def verify(right: bool, setup: Setup, what: str) -> None:
    """Refuse figures of a contender that did something else than it was to do.

    :raises RuntimeError: if it is not *right*
    """
    if not right:
        raise RuntimeError(f"{', '.join(setup)}: {what}")


def setups_for(
    contenders: Iterable[tuple[str, Sequence[str]]], cases: Sequence[str]
) -> list[Setup]:
    """A setup for each contender in each case, on each of its loops that is here."""
    return [
        Setup(loop, case, name)
        for name, its_loops in contenders
        for loop in its_loops
        if loop in loops.AVAILABLE
        for case in cases
    ]
