"""Two runs side by side: which figures of aioteredo are faster, slower or only noise.

The two runs may be from different machines, so each figure is a ratio to the base of its
own run. Counts that are the same in each run, such as wake-ups, are compared directly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ..apparatus.measure import Measure, Metric, Row
from ..apparatus.results import Results
from .estimates import CONFIDENCE, Distribution, Estimate, change

FEWEST_ROUNDS: Final = 5  # Fewer give intervals that are too wide to find anything.
VERDICTS: Final = ("faster", "slower", "same", "noise")


class Change(NamedTuple):
    """The change of one figure.

    :param factor: the change of the ratio to the base; None of a count, or if not compared
    :param verdict: one of :data:`VERDICTS`, or the reason why it is not compared
    """

    figure: str
    factor: Estimate | None
    verdict: str


class _Comparable(NamedTuple):
    figure: str
    higher_is_better: bool
    q: float
    new: tuple[Distribution, Distribution]
    old: tuple[Distribution, Distribution]


def compare(new: Results, old: Results, measures: list[Measure]) -> list[Change]:
    """Return the change from *old* to *new* of each figure of aioteredo in *new*."""
    figures = [*_find_figures(new, old, measures)]

    # Among many comparisons, some would exclude 1 by chance. The confidence holds for all
    # of them together (Bonferroni).
    comparisons = sum(isinstance(figure, _Comparable) for figure in figures)
    confidence = 1 - (1 - CONFIDENCE) / max(1, comparisons)
    return [
        figure if isinstance(figure, Change) else _judge(figure, confidence)
        for figure in figures
    ]


def _judge(pair: _Comparable, confidence: float) -> Change:
    factor = change(pair.new, pair.old, pair.q, confidence)
    verdict = "noise"
    if factor.low > 1 or factor.high < 1:
        verdict = "faster" if (factor.low > 1) == pair.higher_is_better else "slower"
    return Change(pair.figure, factor, verdict)


def _find_figures(
    new: Results, old: Results, measures: list[Measure]
) -> Iterator[_Comparable | Change]:
    known = {
        (measure.name, name): (metric, measure.base)
        for measure in measures
        for name, metric in measure.metrics.items()
    }
    for row in new.rows:
        if (row.measure, row.metric) not in known or "aioteredo" not in row.setup.contender:
            continue
        metric, base = known[row.measure, row.metric]
        figure = f"{row.measure}, {', '.join(row.setup)}: {row.metric}"
        before = old.find(row.measure, row.metric, *row.setup)
        if before is None:
            yield Change(figure, None, "not in the other run")
        elif before.size != row.size:
            yield Change(figure, None, f"of {before.size} before, of {row.size} now")
        elif metric.is_count:
            yield _compare_counts(figure, row, before)
        else:
            below = new.find(row.measure, row.metric, *row.setup[:2], base)
            below_before = old.find(row.measure, row.metric, *row.setup[:2], base)
            if below is None or below_before is None:
                yield Change(figure, None, f"no {base!r} to compare with")
            elif min(len(row.rounds), len(before.rounds)) < FEWEST_ROUNDS:
                yield Change(figure, None, f"fewer than {FEWEST_ROUNDS} rounds")
            else:
                yield from _quantiles(figure, metric, (row, below), (before, below_before))


def _compare_counts(figure: str, row: Row, before: Row) -> Change:
    new = Distribution(row.rounds).quantile(0.5)
    old = Distribution(before.rounds).quantile(0.5)
    verdict = "same" if new == old else "slower" if new > old else "faster"
    return Change(f"{figure} {old:g} → {new:g}", None, verdict)


def _quantiles(
    figure: str, metric: Metric, new: tuple[Row, Row], old: tuple[Row, Row]
) -> Iterator[_Comparable | Change]:
    now = (Distribution(new[0].rounds), Distribution(new[1].rounds))
    then = (Distribution(old[0].rounds), Distribution(old[1].rounds))
    quantiles = {" p50": 0.5, " p99": 0.99} if metric.has_tail else {"": 0.5}
    for name, q in quantiles.items():
        if all(distribution.has_quantile(q) for distribution in (*now, *then)):
            yield _Comparable(figure + name, metric.higher_is_better, q, now, then)
        else:
            yield Change(figure + name, None, "too few samples")
