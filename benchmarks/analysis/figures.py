"""The figures that the charts and the documents show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..apparatus import loops
from ..apparatus.contenders import Recipe
from ..apparatus.floors import BareDeque, Floor, SecondFloor
from ..apparatus.results import Results
from .estimates import Distribution, Estimate, excess, level

MAIN: Final = ("asyncio", "native")  # the loop and the source of the main chart
LABELS: Final = {Recipe.name: "usual recipe", SecondFloor.name: "floor, measured again"}

# Some contenders have no burst of more callbacks. The longest one of these is drawn.
BURSTS: Final = tuple(f"python, {n:,} callbacks" for n in (100_000, 10_000, 1_000))

Rows = dict[str, Distribution]  # by the contender
Figures = dict[str, Estimate]  # by the contender


def label(contender: str) -> str:
    """Return the name of a contender for a reader of the pictures and tables."""
    return LABELS.get(contender, contender)


def rows_of(results: Results, measure: str, metric: str, loop: str, case: str) -> Rows:
    """Return the samples of one loop and case."""
    wanted = (measure, metric, loop, case)
    return {
        row.setup.contender: Distribution(row.rounds)
        for row in results.rows
        if (row.measure, row.metric, *row.setup[:2]) == wanted
    }


def measured_loops(results: Results, measure: str) -> list[str]:
    """Return the kinds of loop on which the run has *measure*, in their usual order."""
    found = {row.setup.loop for row in results.rows if row.measure == measure}
    return [loop for loop in loops.NAMES if loop in found]


def added_latency(results: Results, loop: str, case: str) -> Figures:
    """Return the µs that each contender adds to the median of the floor."""
    rows = rows_of(results, "latency", "latency", loop, case)
    floor = rows.pop(Floor.name, None)
    if floor is None:
        return {}
    return {
        name: _scaled(excess(distribution, floor, 1.0, 0.5), 1e3)
        for name, distribution in rows.items()
    }


def floor_latency(results: Results, loop: str, case: str) -> float:
    """Return the median of the floor in µs."""
    return (
        rows_of(results, "latency", "latency", loop, case)[Floor.name].quantile(0.5) / 1e3
    )


def quantiles(rows: Rows, q: float, unit: float) -> Figures:
    """Return a quantile of each contender that has enough samples for it."""
    return {
        name: _scaled(level(distribution, q), unit)
        for name, distribution in rows.items()
        if distribution.has_quantile(q)
    }


def burst_case(results: Results) -> str | None:
    """Return the longest burst that is drawn, or None."""
    cases = {row.setup.case for row in results.rows if row.measure == "burst"}
    return next((case for case in BURSTS if case in cases), None)


def fan_out_case(results: Results) -> str | None:
    """Return the largest number of watches."""
    cases = {row.setup.case for row in results.rows if row.measure == "fan-out"}
    return max(cases, key=int, default=None)


def burst_figures(results: Results) -> dict[str, Figures]:
    """Return the thousands of events a second of the longest burst, on each loop."""
    case = burst_case(results) or ""
    figures = {
        loop: quantiles(rows_of(results, "burst", "events", loop, case), 0.5, 1e3)
        for loop in measured_loops(results, "burst")
    }
    for found in figures.values():
        found.pop(BareDeque.name, None)
    return figures


def fan_out_figures(results: Results) -> dict[str, Figures]:
    """Return the ms of a notification of the largest number of watches, on each loop."""
    case = fan_out_case(results) or ""
    return {
        loop: quantiles(rows_of(results, "fan-out", "time", loop, case), 0.5, 1e6)
        for loop in measured_loops(results, "fan-out")
    }


def sort_contenders(figures: Iterable[Figures], *, descending: bool = False) -> list[str]:
    """Return the contenders in the order of the first loop that has them."""
    order: dict[str, None] = {}
    for found in figures:
        ascending = sorted(found, key=lambda name: found[name].value)
        order.update(dict.fromkeys(reversed(ascending) if descending else ascending))
    return [*order]


def provenance(results: Results, measure: str) -> str:
    """Return where, when and how often *measure* was measured."""
    rounds = max(len(row.rounds) for row in results.rows if row.measure == measure)
    return (
        "{python}, {system}, {processor}; {day}, revision {revision}; {rounds} rounds"
    ).format(**results.environment, day=results.environment["time"][:10], rounds=rounds)


def _scaled(estimate: Estimate, unit: float) -> Estimate:
    return Estimate(*(value / unit for value in estimate))
