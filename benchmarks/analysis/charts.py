"""The charts of a run: which figures each shows, and its words. svg.py draws them.

documents.py writes the same figures into tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..apparatus.contenders import Aioteredo, Polling, Recipe
from ..apparatus.floors import Floor, SecondFloor
from ..apparatus.results import Results
from ..apparatus.sources import SOURCES
from .estimates import Estimate
from .figures import (
    MAIN,
    Figures,
    added_latency,
    burst_case,
    burst_figures,
    fan_out_case,
    fan_out_figures,
    floor_latency,
    label,
    measured_loops,
    provenance,
    quantiles,
    rows_of,
    sort_contenders,
)
from .formatting import format_plus_minus, format_value
from .svg import Bar, Chart, Panel


def draw_charts(results: Results) -> dict[str, Chart]:
    """Return each chart whose measure is in *results*, by the name of its files."""
    charts = {
        "latency": _latency(results),
        "latency-loops": _latency_on_all_loops(results),
        "latency-tail": _tail(results),
        "burst": _burst(results),
        "fan-out": _fan_out(results),
    }
    return {name: chart for name, chart in charts.items() if chart is not None}


def summarize_latency(results: Results) -> str:
    """Return the result of the main chart in one sentence."""
    figures = added_latency(results, *MAIN)
    floor = floor_latency(results, *MAIN)
    own = format_value(figures[Aioteredo.name].value)
    least_possible = f"the least possible latency of {format_value(floor)} µs"
    words = [f"aioteredo adds {own} µs to {least_possible}"]
    if Recipe.name in figures:
        recipe = format_value(figures[Recipe.name].value)
        words.append(
            f"the usual recipe, call_soon_threadsafe(queue.put_nowait), adds {recipe} µs"
        )

    others = {
        name: estimate.value
        for name, estimate in figures.items()
        if name not in (Aioteredo.name, Recipe.name, SecondFloor.name, Polling.name)
    }
    if others:
        least = min(others, key=others.__getitem__)
        most = max(others, key=others.__getitem__)
        words.append(
            f"the alternatives add from {format_value(others[least])} µs ({least}) to "
            f"{format_value(others[most])} µs ({most})"
        )
    return f"On {MAIN[0]}, with callbacks from a {MAIN[1]} thread, {'; '.join(words)}."


def _latency(results: Results) -> Chart | None:
    figures = added_latency(results, *MAIN)
    if Aioteredo.name not in figures:
        return None
    floor = floor_latency(results, *MAIN)
    return Chart(
        title=f"aioteredo adds {format_value(figures[Aioteredo.name].value)} µs to the "
        "least possible latency",
        subtitle="Median time from the callback to the next line of the consumer, minus "
        "that of the floor, which only wakes the loop and carries no event "
        f"({format_value(floor)} µs). asyncio, callbacks from a native thread. "
        "Shorter is better.",
        rows=[*map(label, sort_contenders([figures]))],
        grid=[
            [
                Panel(
                    "",
                    _bars(figures, lambda estimate: f"{format_plus_minus(*estimate)} µs"),
                    {},
                )
            ]
        ],
        axis="µs added to the floor",
        limit=_limit([figures]),
        notes=[
            "± and whiskers: 95 % interval. The floor is measured twice; without noise, "
            "the second time would be at 0.",
            "Usual recipe: call_soon_threadsafe(queue.put_nowait). Polling misses events "
            "between two looks.",
            provenance(results, "latency"),
        ],
        description=summarize_latency(results),
        own=Aioteredo.name,
        hollow={label(SecondFloor.name)},
    )


def _latency_on_all_loops(results: Results) -> Chart | None:
    columns = measured_loops(results, "latency")
    figures = {
        (loop, case): added_latency(results, loop, case)
        for case in reversed(SOURCES)
        for loop in columns
    }
    if not any(figures.values()):
        return None
    contenders = sort_contenders(figures.values())
    grid = [
        [
            _panel(loop, contenders, figures[loop, case], f"{loop}, {case} thread")
            for loop in columns
        ]
        for case in reversed(SOURCES)
        if any(figures[loop, case] for loop in columns)
    ]
    return Chart(
        title="What each contender adds to the floor, on each event loop",
        subtitle="Median time from the callback to the next line of the consumer, minus "
        "that of the floor. Shorter is better.",
        rows=[*map(label, contenders)],
        grid=grid,
        axis="µs added to the floor",
        limit=_limit(figures.values()),
        notes=["Whiskers: 95 % interval.", provenance(results, "latency")],
        description=_describe(
            "µs added to the floor",
            {f"{loop}, {case} thread": found for (loop, case), found in figures.items()},
        ),
        own=Aioteredo.name,
        hollow={label(SecondFloor.name)},
    )


def _tail(results: Results) -> Chart | None:
    columns = measured_loops(results, "latency")
    rows = {loop: rows_of(results, "latency", "latency", loop, MAIN[1]) for loop in columns}
    tails = {loop: quantiles(rows[loop], 0.99, 1e3) for loop in columns}
    if not any(tails.values()):
        return None
    contenders = sort_contenders(tails.values())
    medians = {loop: quantiles(rows[loop], 0.5, 1e3) for loop in columns}
    panels = [
        _panel(loop, contenders, tails[loop], inner=medians[loop]) for loop in columns
    ]
    return Chart(
        title="99 of 100 events arrive within this time",
        subtitle="Time from the callback to the next line of the consumer; callbacks from "
        "a native thread. The part of a bar in full colour ends at the median, the whole "
        "bar at the 99th percentile. Shorter is better.",
        rows=[*map(label, contenders)],
        grid=[panels],
        axis="µs",
        limit=_limit(tails.values()),
        notes=[
            "Whiskers: 95 % interval of the 99th percentile.",
            provenance(results, "latency"),
        ],
        description=_describe("µs within which 99 of 100 events arrive", tails),
        own=Aioteredo.name,
        hollow={Floor.name, label(SecondFloor.name)},
    )


def _burst(results: Results) -> Chart | None:
    case = burst_case(results)
    if case is None:
        return None
    figures = burst_figures(results)
    contenders = sort_contenders(figures.values(), descending=True)
    return Chart(
        title=f"A burst of {case.split(', ')[1]}",
        subtitle="Thousands of events a second that reach the consumer, while a Python "
        "thread calls back without a pause. Longer is better.",
        rows=[*map(label, contenders)],
        grid=[[_panel(loop, contenders, found) for loop, found in figures.items()]],
        axis="thousand events a second",
        limit=_limit(figures.values()),
        notes=["Whiskers: 95 % interval.", provenance(results, "burst")],
        description=_describe("thousand events a second", figures),
        own=Aioteredo.name,
    )


def _fan_out(results: Results) -> Chart | None:
    case = fan_out_case(results)
    if case is None:
        return None
    figures = fan_out_figures(results)
    contenders = sort_contenders(figures.values())
    return Chart(
        title=f"One notification to {int(case):,} consumers",
        subtitle="Median time from the callback until the last consumer has the event. "
        "Shorter is better.",
        rows=[*map(label, contenders)],
        grid=[[_panel(loop, contenders, found) for loop, found in figures.items()]],
        axis="ms",
        limit=_limit(figures.values()),
        notes=["Whiskers: 95 % interval.", provenance(results, "fan-out")],
        description=_describe("ms until the last consumer has the event", figures),
        own=Aioteredo.name,
    )


def _bars(
    figures: Figures,
    text: Callable[[Estimate], str] = lambda estimate: format_value(estimate.value),
    inner: Figures | None = None,
) -> dict[str, Bar]:
    return {
        label(name): Bar(
            *estimate,
            label=text(estimate),
            inner=inner[name].value if inner else None,
        )
        for name, estimate in figures.items()
    }


def _panel(
    loop: str,
    contenders: Iterable[str],
    figures: Figures,
    title: str | None = None,
    inner: Figures | None = None,
) -> Panel:
    absent = {label(name): f"not on {loop}" for name in contenders if name not in figures}
    return Panel(title or loop, _bars(figures, inner=inner), absent)


def _limit(figures: Iterable[Figures]) -> float:
    """Return the end of an axis. Polling takes a thousand times as long as the rest."""
    return max(
        min(estimate.high, 1.3 * abs(estimate.value))
        for found in figures
        for name, estimate in found.items()
        if name != Polling.name
    )


def _describe(subject: str, figures: Mapping[str, Figures]) -> str:
    """Return aioteredo's figures and the range of the others, in a sentence a panel."""
    sentences = [f"Bar chart: {subject}."]
    for title, found in figures.items():
        others = {
            label(name): estimate.value
            for name, estimate in found.items()
            if name not in (Aioteredo.name, Polling.name)
        }
        if Aioteredo.name in found and others:
            least = min(others, key=others.__getitem__)
            most = max(others, key=others.__getitem__)
            own = format_value(found[Aioteredo.name].value)
            sentences.append(
                f"{title}: aioteredo {own}, the others "
                f"from {format_value(others[least])} ({least}) to "
                f"{format_value(others[most])} ({most})."
            )
    return " ".join(sentences)
