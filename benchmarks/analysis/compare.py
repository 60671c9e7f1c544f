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
from .estimates import CONFIDENCE, Estimate, Sampled, change

FEWEST_ROUNDS: Final = 5
VERDICTS: Final = ("faster", "slower", "same", "noise")


class Change(NamedTuple):
    """How one figure changed.

    :param factor: of the ratio to the base; None of a count, or if not compared
    :param verdict: one of :data:`VERDICTS`, or why not compared
    """

    what: str
    factor: Estimate | None
    verdict: str


class _Pair(NamedTuple):
    what: str
    higher_is_better: bool
    q: float
    new: tuple[Sampled, Sampled]
    old: tuple[Sampled, Sampled]


def compare(new: Results, old: Results, measures: list[Measure]) -> list[Change]:
    """What changed from *old* to *new*, in all that *new* has of aioteredo."""
    found = [*_look(new, old, measures)]
    pairs = [one for one in found if isinstance(one, _Pair)]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(pairs))
    return [one if isinstance(one, Change) else _judge(one, confidence) for one in found]


def _judge(pair: _Pair, confidence: float) -> Change:
    factor = change(pair.new, pair.old, pair.q, confidence)
    verdict = "noise"
    if factor.low > 1 or factor.high < 1:
        verdict = "faster" if (factor.low > 1) == pair.higher_is_better else "slower"
    return Change(pair.what, factor, verdict)


def _look(new: Results, old: Results, measures: list[Measure]) -> Iterator[_Pair | Change]:
    by_name = {measure.name: measure for measure in measures}
    for row in new.rows:
        measure = by_name.get(row.measure)
        metric = None if measure is None else measure.metrics.get(row.metric)
        if measure is None or metric is None:
            continue
        if "aioteredo" not in row.cell.contender:  # nor in a statement that is imported
            continue
        what = f"{row.measure}, {', '.join(row.cell)}: {row.metric}"
        before = old.find(row.measure, row.metric, *row.cell)
        if before is None:
            yield Change(what, None, "not in the other run")
        elif before.size != row.size:
            yield Change(what, None, f"of {before.size} before, of {row.size} now")
        elif metric.exact:
            yield _count(what, row, before)
        else:
            yield from _pairs(what, metric, row, before, (new, old), measure.base)


def _count(what: str, row: Row, before: Row) -> Change:
    now, then = (Sampled(r.rounds).quantile(0.5) for r in (row, before))
    verdict = "same" if now == then else "slower" if now > then else "faster"
    return Change(f"{what} {then:g} → {now:g}", None, verdict)


def _pairs(
    what: str,
    metric: Metric,
    row: Row,
    before: Row,
    runs: tuple[Results, Results],
    base: str,
) -> Iterator[_Pair | Change]:
    below, below_before = (
        run.find(row.measure, row.metric, *row.cell[:2], base) for run in runs
    )
    if below is None or below_before is None:
        yield Change(what, None, f"no {base!r} to compare with")
        return
    if min(len(row.rounds), len(before.rounds)) < FEWEST_ROUNDS:
        yield Change(what, None, f"fewer than {FEWEST_ROUNDS} rounds")
        return
    now, then = (
        (Sampled(row.rounds), Sampled(below.rounds)),
        (
            Sampled(before.rounds),
            Sampled(below_before.rounds),
        ),
    )
    for name, q in (
        {"p50": 0.5, "p99": 0.99}.items() if metric.distribution else [("", 0.5)]
    ):
        figure = f"{what} {name}".strip()
        if all(sampled.knows(q) for sampled in (*now, *then)):
            yield _Pair(figure, metric.higher_is_better, q, now, then)
        else:
            yield Change(figure, None, "too few samples")
