"""What aioteredo is meant to reach, and whether this run shows it.

A bound holds if the whole interval keeps it, is missed if the whole interval breaks it,
and is open otherwise: more rounds (``--rounds``) would tell. Where several contenders are
asked whether they are ahead, the confidence is that of all answers together. Counts have
no interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

from ..apparatus import loops
from ..apparatus.contenders import CONTENDERS, Aioteredo, Recipe
from ..apparatus.floors import Floor, SecondFloor
from ..apparatus.results import Results
from ..apparatus.sources import SOURCES
from .estimates import CONFIDENCE, Distribution, Estimate, excess, ratio
from .formatting import format_amount, format_estimate

HELD: Final = "yes"
MISSED: Final = "no"
OPEN: Final = "open"
EMPTY_CALLBACK: Final = "empty ctypes callback"
QUANTILES: Final = {"p50": 0.5, "p99": 0.99}


class Target(NamedTuple):
    description: str
    figure: str
    reached: str


def judge(results: Results) -> list[Target]:
    """Every target that *results* have something to say about."""
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
    row: tuple[str, str],
    above: tuple[str, str, str],
    below: str,
    q: float,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    rows = (results.find(*row, *above), results.find(*row, *above[:2], below))
    if rows[0] is None or rows[1] is None:
        return None
    first, second = (Distribution(row.rounds) for row in rows if row is not None)
    if not (first.has_quantile(q) and second.has_quantile(q)):
        return None
    return ratio(first, second, q, confidence)


def _at_most(bound: float, estimate: Estimate) -> str:
    return HELD if estimate.high <= bound else MISSED if estimate.low > bound else OPEN


def _at_least(bound: float, estimate: Estimate) -> str:
    return HELD if estimate.low >= bound else MISSED if estimate.high < bound else OPEN


def _rivals(loop: str) -> list[str]:
    """Who keeps events there, but for aioteredo."""
    keeping = [
        c for c in CONTENDERS if c.keeps_events and c.sees_every_event and loop in c.loops
    ]
    return [c.name for c in keeping if c.name != Aioteredo.name]


def _latency(results: Results) -> Iterator[Target]:
    row = ("latency", "latency")
    for loop, case, (name, q) in product(loops.NAMES, SOURCES, QUANTILES.items()):
        setup = (loop, case, Aioteredo.name)
        found = _ratio(results, row, setup, SecondFloor.name, q)
        if found is None:
            continue
        description = f"latency {name} to the second floor ≤ 1.05 ({loop}, {case})"
        yield Target(description, format_estimate(found), _at_most(1.05, found))
        rivals = _rivals(loop)
        confidence = 1 - (1 - CONFIDENCE) / len(rivals)  # of all of them together
        others = {
            rival: estimate
            for rival in rivals
            if (estimate := _ratio(results, row, setup, rival, q, confidence))
        }
        if others:
            nearest = max(others, key=lambda rival: others[rival].high)
            ahead = any(estimate.low > 1 for estimate in others.values())
            yield Target(
                f"latency {name}: none that keeps events is ahead ({loop}, {case})",
                f"to {nearest}: {format_estimate(others[nearest])}",
                MISSED if ahead else _at_most(1.05, others[nearest]),
            )


def _burst(results: Results) -> Iterator[Target]:
    cases = dict.fromkeys(row.setup.case for row in results.rows if row.measure == "burst")
    for loop, bound in {"asyncio": 5.0, "uvloop": 1.5}.items():
        for case in cases:
            setup, row = (loop, case, Aioteredo.name), ("burst", "events")
            ratios = {
                rival: found
                for rival in _rivals(loop)
                if (found := _ratio(results, row, setup, rival, 0.5))
            }
            if not ratios:
                continue
            if Recipe.name in ratios and case.startswith("python"):
                found = ratios[Recipe.name]
                description = f"burst to the recipe ≥ {bound} ({loop}, {case})"
                yield Target(description, format_estimate(found), _at_least(bound, found))
            nearest = min(ratios, key=lambda name: ratios[name].low)
            yield Target(
                f"burst ahead of every contender ({loop}, {case})",
                f"to {nearest}: {format_estimate(ratios[nearest])}",
                _at_least(1.0, ratios[nearest]),
            )


def _stalled(results: Results) -> Iterator[Target]:
    for loop in loops.NAMES:
        for metric, bound in {"handles": 1, "events": 16}.items():
            row = results.find("stalled", metric, loop, "python", Aioteredo.name)
            if row is not None:
                most = max(max(samples) for samples in row.rounds)
                reached = HELD if most <= bound else MISSED
                description = f"stalled loop: {metric} ≤ {bound} ({loop})"
                yield Target(description, f"{most:g}", reached)


def _callback(results: Results) -> Iterator[Target]:
    for loop in loops.NAMES:
        for case in ("stalled loop", "idle consumer"):
            rows = {
                name: Distribution(row.rounds)
                for name in (Aioteredo.name, EMPTY_CALLBACK, Floor.name)
                if (row := results.find("callback", "time", loop, case, name))
            }
            if not {Aioteredo.name, EMPTY_CALLBACK} <= rows.keys():
                continue
            over = excess(rows[Aioteredo.name], rows[EMPTY_CALLBACK], 1.5, 0.5)
            description = f"callback ≤ 1.5 empty ones + 1 µs ({loop}, {case})"
            medians = {
                name: format_amount(s.quantile(0.5), "ns") for name, s in rows.items()
            }
            figure = ", ".join(f"{name} {median}" for name, median in medians.items())
            yield Target(description, figure, _at_most(1_000, over))


def _idle(results: Results) -> Iterator[Target]:
    for loop in loops.NAMES:
        row = results.find("idle", "wake-ups", loop, "python", Aioteredo.name)
        if row is not None:
            median = Distribution(row.rounds).quantile(0.5)
            reached = HELD if median <= 0 else MISSED
            yield Target(f"idle: no wake-up a second ({loop})", f"{median:g}", reached)


def _import(results: Results) -> Iterator[Target]:
    for statement in ("import aioteredo", "from aioteredo import watch_teredo_port"):
        setup = ("none", "process", statement)
        found = _ratio(results, ("import", "time"), setup, "import anyio", 0.5)
        if found is not None:
            description = f"{statement} to import anyio ≤ 1.1"
            yield Target(description, format_estimate(found), _at_most(1.1, found))
