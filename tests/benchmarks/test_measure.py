"""The order in which the setups of a measure are run."""

from __future__ import annotations

import random

from benchmarks.apparatus.measure import run_rounds

from .runs import RandomMeasure


def test_each_round_runs_every_cell_once_in_a_random_order() -> None:
    """A machine that drifts must not favour the contender that is always first."""
    measure = RandomMeasure(1, 1)
    run_rounds(measure, measure.full, random.Random(1), lambda: None)
    rounds = [tuple(measure.order[i : i + 2]) for i in range(0, len(measure.order), 2)]
    assert len(rounds) == 30
    assert all(len({*setups}) == 2 for setups in rounds)
    assert len({*rounds}) == 2
