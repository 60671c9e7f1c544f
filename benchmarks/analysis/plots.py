"""The results as pictures, each in SVG and PNG."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..apparatus import loops
from ..apparatus.contenders import CONTENDERS, Aioteredo, Polling
from ..apparatus.floors import BareDeque, Floor, SecondFloor
from ..apparatus.measure import Setup
from ..apparatus.results import Results
from .estimates import Distribution
from .formatting import format_amount

PERCENTILES: Final = 1 - np.logspace(np.log10(0.75), -3, 120)
FEWEST_BEYOND: Final = 20  # samples beyond a percentile; fewer would show only their luck
# Some contenders have no burst of more callbacks. The longest one of these is drawn.
BURSTS: Final = tuple(f"python, {n:,} callbacks" for n in (100_000, 10_000, 1_000))
FUTURES: Final = "Futures, a post each"
FUTURES_WITH_ONE_POST: Final = "Futures, one post"

_TICKS: Final = (0.5, 0.9, 0.99, 0.999)
_TIMES: Final = [n * 10**power for power in range(7) for n in (1, 2, 5)]  # µs

Rows = list[tuple[Setup, Distribution]]

mpl.use("Agg")
mpl.rcParams.update(
    {
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.size": 9,
        # Without a fixed salt, each drawing of the same results would be another file.
        "svg.hashsalt": "aioteredo",
    }
)


def draw_plots(results: Results, directory: Path) -> list[Path]:
    """Write a picture of each measure that has one into *directory*.

    :raises OSError: if it cannot be written
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in (("latency", _latency), ("burst", _burst), ("fan-out", _fan_out)):
        figure = draw(results)
        if figure is None:
            continue
        for kind in ("svg", "png"):
            path = directory / f"{name}.{kind}"
            # Without this, the time of the drawing would be in the file.
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(path, dpi=150, bbox_inches="tight", metadata=metadata)
            paths.append(path)
    return paths


def _style(name: str) -> dict[str, Any]:
    if name.startswith(Aioteredo.name):
        return {"color": "#d62728", "linewidth": 2.2, "zorder": 3}
    if name == SecondFloor.name:
        return {"color": "0.45", "linewidth": 1.2, "linestyle": (0, (1, 1.5)), "zorder": 2}
    if name in (Floor.name, FUTURES_WITH_ONE_POST):
        return {"color": "black", "linewidth": 1.2, "linestyle": (0, (4, 2)), "zorder": 2}
    names = [*dict.fromkeys(kind.name for kind in CONTENDERS), FUTURES]
    colors = mpl.colormaps["tab10"]([0, 1, 2, 4, 5, 6, 8, 9, 7])
    return {"color": colors[names.index(name) % 9], "linewidth": 1.1}


def _rows(results: Results, measure: str, metric: str) -> Rows:
    return [
        (row.setup, Distribution(row.rounds))
        for row in results.rows
        if (row.measure, row.metric) == (measure, metric)
    ]


def _panels(
    rows: Rows, title: str, environment: dict[str, str]
) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """Return a figure with a panel for each loop (from left to right) and case."""
    measured = {setup.loop for setup, _ in rows}
    columns = [loop for loop in loops.NAMES if loop in measured]
    lines = [*dict.fromkeys(setup.case for setup, _ in rows)]
    figure = Figure(figsize=(3.4 * len(columns) + 1, 2.9 * len(lines) + 0.8))
    grid = figure.subplots(
        len(lines), len(columns), squeeze=False, sharex=True, sharey=True
    )
    figure.suptitle(title, fontsize=11, x=0.02, ha="left")
    caption = "{python}, {system}, {processor}\n{command}, {time}, revision {revision}"
    figure.text(0.02, -0.06, caption.format_map(environment), fontsize=7, color="0.4")
    return figure, {
        (loop, case): grid[i][j]
        for i, case in enumerate(lines)
        for j, loop in enumerate(columns)
    }


def _use_logarithms(ax: Axes, title: str, x: str, y: str) -> None:
    ax.set_title(title, loc="left", fontsize=9)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    ax.grid(alpha=0.25)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.label_outer()


def _add_legend(figure: Figure, axes: Iterable[Axes]) -> None:
    handles = {
        label: handle
        for ax in axes
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure.tight_layout()
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
    )


def _latency(results: Results) -> Figure | None:
    rows = _rows(results, "latency", "latency")
    if not rows:
        return None
    title = "From the callback to the consumer's next line (consumer idle; lower is better)"
    figure, axes = _panels(rows, title, results.environment)

    for setup, distribution in rows:
        # Polling takes a thousand times as long. Its scale would make the rest one line.
        if setup.contender == Polling.name:
            continue
        known = PERCENTILES[(1 - PERCENTILES) * distribution.size >= FEWEST_BEYOND]
        times = [distribution.quantile(float(q)) / 1e3 for q in known]
        style = _style(setup.contender)
        ax = axes[setup.loop, setup.case]
        ax.plot(1 / (1 - known), times, label=setup.contender, **style)

    for (loop, case), ax in axes.items():
        _use_logarithms(ax, f"{loop}, {case} thread", "percentile", "µs")
        ax.set_xticks([1 / (1 - q) for q in _TICKS], [f"{q * 100:g}" for q in _TICKS])
        ax.yaxis.set_major_locator(ticker.FixedLocator(_TIMES))
        ax.yaxis.set_minor_locator(ticker.NullLocator())
    _add_legend(figure, axes.values())
    return figure


def _burst(results: Results) -> Figure | None:
    rows = [
        (setup, distribution)
        for setup, distribution in _rows(results, "burst", "events")
        if setup.case in BURSTS and setup.contender != BareDeque.name
    ]
    if not rows:
        return None
    case = min((setup.case for setup, _ in rows), key=BURSTS.index)
    rows = [(setup, distribution) for setup, distribution in rows if setup.case == case]
    title = (
        f"Events a second in a burst from a Python thread: {case.split(', ')[1]} "
        f"(median; line: least to most of {rows[0][1].rounds} rounds; higher is better)"
    )
    figure, axes = _panels(rows, title, results.environment)

    totals: dict[str, float] = defaultdict(float)
    for setup, distribution in rows:
        totals[setup.contender] += distribution.quantile(0.5)
    names = sorted(totals, key=totals.__getitem__)

    for setup, distribution in rows:
        ax = axes[setup.loop, case]
        y = names.index(setup.contender)
        least, rate, most = (distribution.quantile(q) for q in (0.0, 0.5, 1.0))
        ax.barh(y, rate, color=_style(setup.contender)["color"])
        spread = [[rate - least], [most - rate]]
        ax.errorbar(rate, y, xerr=spread, color="black", linewidth=0.8)
        ax.annotate(f" {format_amount(rate, '')}", (most, y), va="center", fontsize=7)

    for (loop, _), ax in axes.items():
        ax.set_title(loop, loc="left", fontsize=9)
        ax.set_yticks(range(len(names)), names)
        ax.margins(x=0.15)
        ax.xaxis.set_major_locator(ticker.MaxNLocator(4))
        ax.xaxis.set_major_formatter(
            ticker.FuncFormatter(lambda x, _: format_amount(x, ""))
        )
        ax.set_xlabel("events a second")
    figure.tight_layout()
    return figure


def _fan_out(results: Results) -> Figure | None:
    rows = _rows(results, "fan-out", "time")
    if not rows:
        return None
    title = "One notification: until the last of so many consumers has it (lower is better)"
    # The case is the number of watches, which is on an axis: one panel for each loop.
    panels = [(setup._replace(case="python"), distribution) for setup, distribution in rows]
    figure, axes = _panels(panels, title, results.environment)

    for (loop, _), ax in axes.items():
        for name in (Aioteredo.name, FUTURES, FUTURES_WITH_ONE_POST):
            points = sorted(
                (int(setup.case), distribution.quantile(0.5) / 1e6)
                for setup, distribution in rows
                if (setup.loop, setup.contender) == (loop, name)
            )
            if points:
                x, y = zip(*points, strict=True)
                ax.plot(x, y, marker="o", markersize=3, label=name, **_style(name))

        _use_logarithms(ax, loop, "watches", "ms")
        ax.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x:,.0f}"))
        ax.yaxis.set_minor_formatter(ticker.NullFormatter())
    _add_legend(figure, axes.values())
    return figure
