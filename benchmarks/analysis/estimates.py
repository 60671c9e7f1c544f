"""Figures, and how far they can be trusted.

A figure is a quantile of all samples of all rounds. How far it can be trusted is asked
of the rounds, by the bootstrap: rounds are drawn with replacement, all of a round or
nothing of it, and the figure is taken anew each time. Samples of one round are no
independent witnesses, they share its threads, its loop and the machine's mood.

A ratio within one run is taken of the same drawn rounds above and below: what slowed
one round for all does not count. Between two runs the rounds are drawn separately.

The interval is that of the logarithm, as many standard deviations wide as Student's t
has it for so few rounds. The resamples' own quantiles would need ten thousands of them
at the confidence that comparing two runs asks for.

All rounds of a run share one process, its hash seed and its layout of memory. What such
things do is in no interval: a surprise is believed when a second run shows it too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

RESAMPLES: Final = 500
CONFIDENCE: Final = 0.95

Floats = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A ratio, and its interval; of a single round there is none but from 0 to inf."""

    value: float
    low: float
    high: float


class Distribution:
    """The samples of one row, ready for their quantiles under any draw of rounds."""

    def __init__(self, rounds: Sequence[Sequence[float]]) -> None:
        self.rounds = len(rounds)
        self.samples = sum(map(len, rounds))
        samples = np.concatenate([np.asarray(r, dtype=np.float64) for r in rounds])
        of_round = np.repeat(np.arange(self.rounds), [len(r) for r in rounds])
        order = np.argsort(samples, kind="stable")
        self._samples, self._of_round = samples[order], of_round[order]

    def quantile(self, q: float) -> float:
        """The quantile of all rounds."""
        return self._quantile(q, np.ones(self.rounds))

    def has_quantile(self, q: float) -> bool:
        """Whether at least one sample is beyond the quantile (or it is the greatest)."""
        return q == 1 or self.samples * (1 - q) >= 1

    def resampled_logarithms(self, q: float, run: int) -> Floats:
        """Those of the quantile, under each draw of that run's rounds."""
        return np.log([self._quantile(q, draw) for draw in _draws(self.rounds, run)])

    def _quantile(self, q: float, draw: Floats) -> float:
        weights = np.cumsum(draw[self._of_round])
        index = int(np.searchsorted(weights, q * weights[-1]))
        return float(self._samples[min(index, len(self._samples) - 1)])


@cache
def _draws(rounds: int, run: int) -> Floats:
    """How often each round is drawn, for each resample; the same each time."""
    rng = np.random.default_rng(run)
    drawn = rng.multinomial(rounds, np.full(rounds, 1 / rounds), RESAMPLES)
    return drawn.astype(np.float64)


def ratio(
    above: Distribution, below: Distribution, q: float, confidence: float = CONFIDENCE
) -> Estimate:
    """The ratio of two quantiles of one run, whose rounds are the same."""
    value = above.quantile(q) / below.quantile(q)
    resampled = above.resampled_logarithms(q, 0) - below.resampled_logarithms(q, 0)
    return _estimate(value, resampled, above.rounds, confidence)


def change(
    new: tuple[Distribution, Distribution],
    old: tuple[Distribution, Distribution],
    q: float,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """By what factor such a ratio changed from one run to another."""
    value, resampled = 1.0, np.zeros(RESAMPLES)
    for run, ((above, below), sign) in enumerate(((new, 1), (old, -1))):
        value *= (above.quantile(q) / below.quantile(q)) ** sign
        resampled += sign * (
            above.resampled_logarithms(q, run) - below.resampled_logarithms(q, run)
        )
    return _estimate(value, resampled, min(new[0].rounds, old[0].rounds), confidence)


def excess(above: Distribution, below: Distribution, factor: float, q: float) -> Estimate:
    """By how much *above* exceeds *factor* times *below*, of one run."""
    value = above.quantile(q) - factor * below.quantile(q)
    resampled = np.exp(above.resampled_logarithms(q, 0)) - factor * np.exp(
        below.resampled_logarithms(q, 0)
    )
    if above.rounds < 2:
        return Estimate(value, -math.inf, math.inf)
    half = _halfwidth(resampled, above.rounds, CONFIDENCE)
    return Estimate(value, value - half, value + half)


def _halfwidth(resampled: Floats, rounds: int, level: float) -> float:
    # the bootstrap's deviation is that of a population: too small by this much
    deviation = float(np.std(resampled)) * math.sqrt(rounds / (rounds - 1))
    return float(stdtrit(rounds - 1, (1 + level) / 2)) * deviation


def _estimate(value: float, resampled: Floats, rounds: int, level: float) -> Estimate:
    if rounds < 2:
        return Estimate(value, 0.0, math.inf)
    width = math.exp(_halfwidth(resampled, rounds, level))
    return Estimate(value, value / width, value * width)
