"""Two runs side by side: what of aioteredo got faster or slower, and what is noise.

Absolute times say little, the machine may have been another. So it is the ratio to the
base of its own run that is compared, and its change counts if the interval excludes 1.
Among many comparisons some would do so by chance: the confidence is that of all of them
together (Bonferroni), 95 %. Counts that are the same in each run (handles, wake-ups) are
compared as they are: any more is a regression.

What cannot be compared is listed as such: less than five rounds have no interval to
speak of, and another amount of work is another measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ..apparatus.measure import Measure, Metric, Row
from ..apparatus.results import Results
from .estimates import CONFIDENCE, Distribution, Estimate, change

FEWEST_ROUNDS: Final = 5
VERDICTS: Final = ("faster", "slower", "same", "noise")


class Change(NamedTuple):
    """How one figure changed.

    :param factor: of the ratio to the base; None of a count, or if not compared
    :param verdict: one of :data:`VERDICTS`, or why not compared
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
    """What changed from *old* to *new*, in all that *new* has of aioteredo."""
    found = [*_find_figures(new, old, measures)]
    pairs = [one for one in found if isinstance(one, _Comparable)]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(pairs))
    return [one if isinstance(one, Change) else _judge(one, confidence) for one in found]


def _judge(pair: _Comparable, confidence: float) -> Change:
    factor = change(pair.new, pair.old, pair.q, confidence)
    verdict = "noise"
    if factor.low > 1 or factor.high < 1:
        verdict = "faster" if (factor.low > 1) == pair.higher_is_better else "slower"
    return Change(pair.figure, factor, verdict)


def _find_figures(
    new: Results, old: Results, measures: list[Measure]
) -> Iterator[_Comparable | Change]:
    by_name = {measure.name: measure for measure in measures}
    for row in new.rows:
        measure = by_name.get(row.measure)
        metric = None if measure is None else measure.metrics.get(row.metric)
        if measure is None or metric is None:
            continue
        if "aioteredo" not in row.setup.contender:  # nor in a statement that is imported
            continue
        figure = f"{row.measure}, {', '.join(row.setup)}: {row.metric}"
        before = old.find(row.measure, row.metric, *row.setup)
        if before is None:
            yield Change(figure, None, "not in the other run")
        elif before.size != row.size:
            yield Change(figure, None, f"of {before.size} before, of {row.size} now")
        elif metric.is_count:
            yield _count(figure, row, before)
        else:
            yield from _pairs(figure, metric, row, before, (new, old), measure.base)


def _count(figure: str, row: Row, before: Row) -> Change:
    now, then = (Distribution(r.rounds).quantile(0.5) for r in (row, before))
    verdict = "same" if now == then else "slower" if now > then else "faster"
    return Change(f"{figure} {then:g} → {now:g}", None, verdict)


def _pairs(
    figure: str,
    metric: Metric,
    row: Row,
    before: Row,
    runs: tuple[Results, Results],
    base: str,
) -> Iterator[_Comparable | Change]:
    below, below_before = (
        run.find(row.measure, row.metric, *row.setup[:2], base) for run in runs
    )
    if below is None or below_before is None:
        yield Change(figure, None, f"no {base!r} to compare with")
        return
    if min(len(row.rounds), len(before.rounds)) < FEWEST_ROUNDS:
        yield Change(figure, None, f"fewer than {FEWEST_ROUNDS} rounds")
        return
    now, then = (
        (Distribution(row.rounds), Distribution(below.rounds)),
        (
            Distribution(before.rounds),
            Distribution(below_before.rounds),
        ),
    )
    for name, q in (
        {"p50": 0.5, "p99": 0.99}.items() if metric.distribution else [("", 0.5)]
    ):
        quantile = f"{figure} {name}".strip()
        if all(distribution.has_quantile(q) for distribution in (*now, *then)):
            yield _Comparable(quantile, metric.higher_is_better, q, now, then)
        else:
            yield Change(quantile, None, "too few samples")
