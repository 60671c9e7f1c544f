"""What aioteredo is meant to reach, and whether this run shows it.

A bound holds if the whole interval keeps it, is missed if the whole interval breaks it,
and is open otherwise: more rounds would tell. Nobody is ahead by more than noise whose
interval does not say so. Counts have no interval.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from . import loops
from .contenders import ALL, Aioteredo, Floor, Recipe, SecondFloor
from .dispatch import IDLE, STALLED, CallbackCost, Latency
from .figures import amount, interval
from .overhead import IMPORT, IMPORT_WATCH, Idle, Import
from .results import Results
from .sources import SOURCES
from .statistics import Estimate, Sampled, excess, ratio
from .volume import Burst, Stalled

HELD: Final = "yes"
MISSED: Final = "no"
OPEN: Final = "open"


class Target(NamedTuple):
    what: str
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
    measure: str,
    metric: str,
    above: tuple[str, ...],
    below: str,
    q: float,
) -> Estimate | None:
    rows = (
        results.find(measure, metric, *above),
        results.find(measure, metric, *above[:2], below),
    )
    if rows[0] is None or rows[1] is None:
        return None
    return ratio(Sampled(rows[0].rounds), Sampled(rows[1].rounds), q)


def _at_most(bound: float, estimate: Estimate) -> str:
    return HELD if estimate.high <= bound else MISSED if estimate.low > bound else OPEN


def _at_least(bound: float, estimate: Estimate) -> str:
    return HELD if estimate.low >= bound else MISSED if estimate.high < bound else OPEN


def _latency(results: Results) -> Iterator[Target]:
    for loop in loops.EVERY:
        for case in SOURCES:
            where, cell = f"{loop}, {case}", (loop, case, Aioteredo.name)
            for name, q in {"p50": 0.5, "p99": 0.99}.items():
                found = _ratio(results, Latency.name, "latency", cell, SecondFloor.name, q)
                if found is not None:
                    what = f"latency {name} to the second floor ≤ 1.05 ({where})"
                    yield Target(what, interval(found), _at_most(1.05, found))
            others = {
                f"{c.name} {name}": found
                for c in ALL
                if c.keeps_events and c.name != Aioteredo.name and loop in c.loops
                for name, q in {"p50": 0.5, "p99": 0.99}.items()
                if (found := _ratio(results, "latency", "latency", cell, c.name, q))
            }
            if others:
                nearest = max(others, key=lambda name: others[name].low)
                yield Target(
                    f"latency: no contender that keeps events is ahead ({where})",
                    f"to {nearest}: {interval(others[nearest])}",
                    MISSED if others[nearest].low > 1 else HELD,
                )


def _burst(results: Results) -> Iterator[Target]:
    for loop, bound in {"asyncio": 5.0, "uvloop": 1.5}.items():
        cell = (loop, "python", Aioteredo.name)
        found = _ratio(results, Burst.name, "events", cell, Recipe.name, 0.5)
        if found is not None:
            what = f"burst to the recipe ≥ {bound} ({loop})"
            yield Target(what, interval(found), _at_least(bound, found))
        ratios = {
            c.name: found
            for c in ALL
            if c.keeps_events and c.name != Aioteredo.name and loop in c.loops
            if (found := _ratio(results, Burst.name, "events", cell, c.name, 0.5))
        }
        if ratios:
            nearest = min(ratios, key=lambda name: ratios[name].low)
            yield Target(
                f"burst ahead of every contender ({loop})",
                f"to {nearest}: {interval(ratios[nearest])}",
                _at_least(1.0, ratios[nearest]),
            )


def _stalled(results: Results) -> Iterator[Target]:
    for loop in loops.EVERY:
        for metric, bound in {"handles": 1, "events": 16}.items():
            row = results.find(Stalled.name, metric, loop, "python", Aioteredo.name)
            if row is not None:
                most = max(max(samples) for samples in row.rounds)
                reached = HELD if most <= bound else MISSED
                what = f"stalled loop: {metric} ≤ {bound} ({loop})"
                yield Target(what, f"{most:g}", reached)


def _callback(results: Results) -> Iterator[Target]:
    for loop in loops.EVERY:
        for case in (STALLED, IDLE):
            rows = {
                name: Sampled(row.rounds)
                for name in (Aioteredo.name, CallbackCost.base, Floor.name)
                if (row := results.find(CallbackCost.name, "time", loop, case, name))
            }
            if not {Aioteredo.name, CallbackCost.base} <= rows.keys():
                continue
            over = excess(rows[Aioteredo.name], rows[CallbackCost.base], 1.5, 0.5)
            what = f"callback ≤ 1.5 empty ones + 1 µs ({loop}, {case})"
            medians = {name: amount(s.quantile(0.5), "ns") for name, s in rows.items()}
            figure = ", ".join(f"{name} {median}" for name, median in medians.items())
            yield Target(what, figure, _at_most(1_000, over))


def _idle(results: Results) -> Iterator[Target]:
    for loop in loops.EVERY:
        row = results.find(Idle.name, "wake-ups", loop, "python", Aioteredo.name)
        if row is not None:
            median = Sampled(row.rounds).quantile(0.5)
            reached = HELD if median <= 0 else MISSED
            yield Target(f"idle: no wake-up a second ({loop})", f"{median:g}", reached)


def _import(results: Results) -> Iterator[Target]:
    for statement in (IMPORT, IMPORT_WATCH):
        cell = ("none", "process", statement)
        found = _ratio(results, Import.name, "time", cell, Import.base, 0.5)
        if found is not None:
            what = f"{statement} to {Import.base} ≤ 1.1"
            yield Target(what, interval(found), _at_most(1.1, found))
