"""The targets of aioteredo, and whether a run shows that they are reached.

A bound is reached if the whole interval keeps it, missed if the whole interval breaks it,
and open otherwise: more rounds (``--rounds``) would decide. Counts have no interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

from ..apparatus import loops
from ..apparatus.contenders import DELIVERING, Aioteredo, Recipe
from ..apparatus.floors import Floor, SecondFloor
from ..apparatus.results import Results
from ..apparatus.sources import SOURCES
from .estimates import CONFIDENCE, Distribution, Estimate, excess, ratio
from .formatting import format_amount

REACHED: Final = "yes"
MISSED: Final = "no"
OPEN: Final = "open"
EMPTY_CALLBACK: Final = "empty ctypes callback"


class Target(NamedTuple):
    description: str
    figure: str
    reached: str


def judge(results: Results) -> list[Target]:
    """Return every target whose figures are in *results*."""
    return [
        *_latency(results),
        *_burst(results),
        *_stalled(results),
        *_callback(results),
        *_idle(results),
        *_import(results),
    ]


def _ratio(
    results: Results,
    metric: tuple[str, str],
    setup: tuple[str, str, str],
    base: str,
    q: float,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    above = results.find(*metric, *setup)
    below = results.find(*metric, *setup[:2], base)
    if above is None or below is None:
        return None
    numerator = Distribution(above.rounds)
    denominator = Distribution(below.rounds)
    if not (numerator.has_quantile(q) and denominator.has_quantile(q)):
        return None
    return ratio(numerator, denominator, q, confidence)


def _at_most(bound: float, estimate: Estimate) -> str:
    return REACHED if estimate.high <= bound else MISSED if estimate.low > bound else OPEN


def _at_least(bound: float, estimate: Estimate) -> str:
    return REACHED if estimate.low >= bound else MISSED if estimate.high < bound else OPEN


def _rivals(loop: str) -> list[str]:
    """Return the other contenders on that loop that deliver every event."""
    kinds = [kind for kind in DELIVERING if loop in kind.loops and kind is not Aioteredo]
    return [kind.name for kind in kinds]


def _latency(results: Results) -> Iterator[Target]:
    metric = ("latency", "latency")
    quantiles = {"p50": 0.5, "p99": 0.99}.items()
    for loop, case, (name, q) in product(loops.NAMES, SOURCES, quantiles):
        setup = (loop, case, Aioteredo.name)
        to_floor = _ratio(results, metric, setup, SecondFloor.name, q)
        if to_floor is None:
            continue
        description = f"latency {name} to the second floor ≤ 1.05 ({loop}, {case})"
        yield Target(description, str(to_floor), _at_most(1.05, to_floor))

        # The target asks about all rivals at once, so the confidence is that of all answers
        # together (Bonferroni).
        rivals = _rivals(loop)
        confidence = 1 - (1 - CONFIDENCE) / len(rivals)
        estimates = {
            rival: estimate
            for rival in rivals
            if (estimate := _ratio(results, metric, setup, rival, q, confidence))
        }
        if estimates:
            nearest = max(estimates, key=lambda rival: estimates[rival].high)
            behind = any(estimate.low > 1 for estimate in estimates.values())
            yield Target(
                f"latency {name}: none that keeps events is ahead ({loop}, {case})",
                f"to {nearest}: {estimates[nearest]}",
                MISSED if behind else _at_most(1.05, estimates[nearest]),
            )


def _burst(results: Results) -> Iterator[Target]:
    cases = dict.fromkeys(row.setup.case for row in results.rows if row.measure == "burst")
    for (loop, bound), case in product({"asyncio": 5.0, "uvloop": 1.5}.items(), cases):
        setup = (loop, case, Aioteredo.name)
        estimates = {
            rival: estimate
            for rival in _rivals(loop)
            if (estimate := _ratio(results, ("burst", "events"), setup, rival, 0.5))
        }
        if not estimates:
            continue
        if Recipe.name in estimates and case.startswith("python"):
            to_recipe = estimates[Recipe.name]
            description = f"burst to the recipe ≥ {bound} ({loop}, {case})"
            yield Target(description, str(to_recipe), _at_least(bound, to_recipe))
        nearest = min(estimates, key=lambda rival: estimates[rival].low)
        yield Target(
            f"burst ahead of every contender ({loop}, {case})",
            f"to {nearest}: {estimates[nearest]}",
            _at_least(1.0, estimates[nearest]),
        )


def _stalled(results: Results) -> Iterator[Target]:
    for loop, (metric, bound) in product(loops.NAMES, {"handles": 1, "events": 16}.items()):
        row = results.find("stalled", metric, loop, "python", Aioteredo.name)
        if row is not None:
            most = max(max(samples) for samples in row.rounds)
            description = f"stalled loop: {metric} ≤ {bound} ({loop})"
            yield Target(description, f"{most:g}", REACHED if most <= bound else MISSED)


def _callback(results: Results) -> Iterator[Target]:
    for loop, case in product(loops.NAMES, ("stalled loop", "idle consumer")):
        rows = {
            name: Distribution(row.rounds)
            for name in (Aioteredo.name, EMPTY_CALLBACK, Floor.name)
            if (row := results.find("callback", "time", loop, case, name))
        }
        if not {Aioteredo.name, EMPTY_CALLBACK} <= rows.keys():
            continue
        over = excess(rows[Aioteredo.name], rows[EMPTY_CALLBACK], 1.5, 0.5)
        medians = (
            f"{name} {format_amount(distribution.quantile(0.5), 'ns')}"
            for name, distribution in rows.items()
        )
        description = f"callback ≤ 1.5 empty ones + 1 µs ({loop}, {case})"
        yield Target(description, ", ".join(medians), _at_most(1_000, over))


def _idle(results: Results) -> Iterator[Target]:
    for loop in loops.NAMES:
        row = results.find("idle", "wake-ups", loop, "python", Aioteredo.name)
        if row is not None:
            median = Distribution(row.rounds).quantile(0.5)
            reached = REACHED if median <= 0 else MISSED
            yield Target(f"idle: no wake-up a second ({loop})", f"{median:g}", reached)


def _import(results: Results) -> Iterator[Target]:
    for statement in ("import aioteredo", "from aioteredo import watch_teredo_port"):
        setup = ("none", "process", statement)
        found = _ratio(results, ("import", "time"), setup, "import anyio", 0.5)
        if found is not None:
            description = f"{statement} to import anyio ≤ 1.1"
            yield Target(description, str(found), _at_most(1.1, found))
