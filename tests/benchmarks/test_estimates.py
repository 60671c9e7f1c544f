"""Intervals of ratios."""

from __future__ import annotations

from benchmarks.analysis.estimates import Distribution, ratio

from .runs import random_run


def test_drift_of_the_machine_widens_no_interval() -> None:
    """A ratio compares rounds that were slowed alike: each stays near the true one."""
    for seed in range(20):
        floor, aioteredo = random_run(1.1, seed).rows
        estimate = ratio(Distribution(aioteredo.rounds), Distribution(floor.rounds), 0.5)
        assert 1.1 / 1.15 < estimate.low < estimate.value < estimate.high < 1.1 * 1.15
