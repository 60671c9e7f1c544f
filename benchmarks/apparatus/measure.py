"""The base class of the measures, and the function that runs one of them in rounds.

Each round runs every setup once, in a random order and in a new event loop. A machine that
drifts, or is busy for a while, then hits all contenders alike.
"""

from __future__ import annotations

import faulthandler
import gc
import random
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from . import loops
from .threads import pin_thread, unpin_thread

LONGEST_RUN: Final = 60.0  # seconds until a setup that hangs ends the process
WARM_UP: Final = 3  # events at the start of a setup, which find the caches cold

Samples = dict[str, Sequence[float]]  # by the name of the metric


class Setup(NamedTuple):
    """One contender on one kind of event loop in one case, such as a kind of source."""

    loop: str
    case: str
    contender: str

    def verify(self, right: bool, problem: str) -> None:
        """Refuse the samples of a contender that lost events or made them up.

        :raises RuntimeError: if it is not *right*
        """
        if not right:
            raise RuntimeError(f"{', '.join(self)}: {problem}")


class Workload(NamedTuple):
    """The number of rounds, and of the events, cycles or seconds in each setup's run."""

    rounds: int
    size: int


@dataclass(frozen=True)
class Metric:
    """A quantity that a measure takes.

    :param has_tail: the samples are saved as a histogram, and reported with high quantiles
    :param is_count: every run gives the same number, so a greater one is a regression
    """

    unit: str
    higher_is_better: bool = False
    has_tail: bool = False
    is_count: bool = False


class Measure(ABC):
    """A measure: its setups, and how to run one of them."""

    name: ClassVar[str]
    title: ClassVar[str]
    base: ClassVar[str]  # the contender to which the report gives ratios
    metrics: ClassVar[dict[str, Metric]]
    quick: ClassVar[Workload]
    full: ClassVar[Workload]

    # Whether the loop and the notifying thread have a processor each. If the scheduler
    # chose, it would put both on one processor in some rounds. That changes the figures
    # more than any contender does.
    pinned: ClassVar[bool] = False

    @abstractmethod
    def setups(self) -> list[Setup]: ...

    def fits(self, setup: Setup, size: int) -> bool:  # noqa: ARG002
        """Return whether a workload of that size includes *setup*."""
        return True

    @abstractmethod
    def run(self, setup: Setup, size: int) -> Samples: ...

    def setups_within(self, size: int) -> list[Setup]:
        """Return the setups that a workload of that size includes."""
        return [setup for setup in self.setups() if self.fits(setup, size)]

    @staticmethod
    def combine(
        contenders: Iterable[tuple[str, Sequence[str]]], cases: Iterable[str]
    ) -> list[Setup]:
        """Return a setup for each contender, given with its loops, in each case."""
        return [
            Setup(loop, case, name)
            for name, its_loops in contenders
            for loop in its_loops
            if loop in loops.AVAILABLE
            for case in cases
        ]


class Row(NamedTuple):
    """The samples of one metric of one setup, round by round."""

    measure: str
    setup: Setup
    metric: str
    size: int
    rounds: list[Sequence[float]]


def run_rounds(
    measure: Measure, workload: Workload, rng: random.Random, advance: Callable[[], object]
) -> list[Row]:
    """Run all setups of *measure* in each round.

    :param advance: called after each setup, to show the progress
    """
    setups = measure.setups_within(workload.size)
    rounds: dict[tuple[Setup, str], list[Sequence[float]]] = defaultdict(list)
    try:
        if measure.pinned:
            pin_thread(0)

        # The modules and classes of the libraries are never garbage. Without freeze(), the
        # collector would traverse them before each setup, and again while it runs.
        gc.collect()
        gc.freeze()

        for _ in range(workload.rounds):
            for setup in rng.sample(setups, len(setups)):
                gc.collect()
                faulthandler.dump_traceback_later(LONGEST_RUN, exit=True, file=2)
                samples = measure.run(setup, workload.size)
                for metric in measure.metrics:
                    rounds[setup, metric].append(samples[metric])
                advance()
    finally:
        gc.unfreeze()
        faulthandler.cancel_dump_traceback_later()
        unpin_thread()
    return [
        Row(measure.name, setup, metric, workload.size, rounds[setup, metric])
        for setup in setups
        for metric in measure.metrics
    ]
