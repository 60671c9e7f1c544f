"""Ratios of quantiles, with confidence intervals.

The intervals come from the bootstrap: whole rounds are drawn with replacement, and the
quantile is taken again of each draw. Single samples are not drawn, because the samples of a
round depend on each other: they share its threads, its loop and the state of the machine.
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
FEWEST_BEYOND: Final = 10  # samples beyond a high quantile; fewer show only their luck

Floats = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A value and its interval, which is infinite after a single round."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 2 if self.value < 10 else 1 if self.value < 100 else 0
        if self.low == 0:
            return f"{self.value:.{digits}f}"
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


class Distribution:
    """The samples of one row, sorted for the quantiles of any draw of rounds."""

    def __init__(self, rounds: Sequence[Sequence[float]]) -> None:
        samples = np.concatenate([np.asarray(r, dtype=np.float64) for r in rounds])
        round_of_sample = np.repeat(np.arange(len(rounds)), [len(r) for r in rounds])
        order = np.argsort(samples, kind="stable")

        self.rounds = len(rounds)
        self.size = len(samples)
        self._samples = samples[order]
        self._round_of_sample = round_of_sample[order]

    def quantile(self, q: float) -> float:
        """Return the quantile of all rounds."""
        return self._quantile(q, np.ones(self.rounds))

    def has_quantile(self, q: float) -> bool:
        """Return whether the quantile has enough samples to be reported or drawn.

        The median always has, because its interval shows how little it is worth.
        """
        return q <= 0.5 or self.size * (1 - q) >= FEWEST_BEYOND

    def resampled_logarithms(self, q: float, run: int) -> Floats:
        """Return the logarithm of the quantile of each draw of the rounds of that run."""
        return np.log([self._quantile(q, draw) for draw in _draws(self.rounds, run)])

    def _quantile(self, q: float, draw: Floats) -> float:
        weights = np.cumsum(draw[self._round_of_sample])
        index = int(np.searchsorted(weights, q * weights[-1]))
        return float(self._samples[min(index, self.size - 1)])


@cache
def _draws(rounds: int, run: int) -> Floats:
    """Return how often each resample has each round.

    All rows of a run get the same draws. A ratio then compares the same rounds above and
    below, so that a round that was slow for all contenders does not widen the interval.
    """
    rng = np.random.default_rng(run)
    drawn = rng.multinomial(rounds, np.full(rounds, 1 / rounds), RESAMPLES)
    return drawn.astype(np.float64)


def ratio(
    above: Distribution, below: Distribution, q: float, confidence: float = CONFIDENCE
) -> Estimate:
    """Return the ratio of a quantile of two rows of one run."""
    value = above.quantile(q) / below.quantile(q)
    resampled = above.resampled_logarithms(q, 0) - below.resampled_logarithms(q, 0)
    return _estimate(value, resampled, above.rounds, confidence)


def change(
    new: tuple[Distribution, Distribution],
    old: tuple[Distribution, Distribution],
    q: float,
    confidence: float,
) -> Estimate:
    """Return the factor between the ratio of two rows in one run and in another."""
    value = 1.0
    resampled = np.zeros(RESAMPLES)
    for run, ((above, below), sign) in enumerate(((new, 1), (old, -1))):
        value *= (above.quantile(q) / below.quantile(q)) ** sign
        logarithms = above.resampled_logarithms(q, run) - below.resampled_logarithms(q, run)
        resampled += sign * logarithms
    return _estimate(value, resampled, min(new[0].rounds, old[0].rounds), confidence)


def excess(above: Distribution, below: Distribution, factor: float, q: float) -> Estimate:
    """Return by how much *above* exceeds *factor* times *below*, in one run."""
    value = above.quantile(q) - factor * below.quantile(q)
    if above.rounds < 2:
        return Estimate(value, -math.inf, math.inf)
    resampled_above = np.exp(above.resampled_logarithms(q, 0))
    resampled_below = np.exp(below.resampled_logarithms(q, 0))
    resampled = resampled_above - factor * resampled_below
    half = _halfwidth(resampled, above.rounds, CONFIDENCE)
    return Estimate(value, value - half, value + half)


def level(distribution: Distribution, q: float) -> Estimate:
    """Return the quantile of a row itself."""
    resampled = distribution.resampled_logarithms(q, 0)
    return _estimate(distribution.quantile(q), resampled, distribution.rounds, CONFIDENCE)


def _halfwidth(resampled: Floats, rounds: int, confidence: float) -> float:
    # Student's t gives the number of standard deviations. The quantiles of the resamples
    # themselves would need many more resamples at the confidence that a comparison uses.
    # The bootstrap yields the deviation of a population, which is too small by this factor.
    deviation = float(np.std(resampled)) * math.sqrt(rounds / (rounds - 1))
    return float(stdtrit(rounds - 1, (1 + confidence) / 2)) * deviation


def _estimate(value: float, resampled: Floats, rounds: int, confidence: float) -> Estimate:
    if rounds < 2:
        return Estimate(value, 0.0, math.inf)
    width = math.exp(_halfwidth(resampled, rounds, confidence))
    return Estimate(value, value / width, value * width)
