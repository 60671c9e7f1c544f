"""The results as pictures, SVG and PNG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from ..apparatus import loops
from ..apparatus.contenders import CONTENDERS, Aioteredo
from ..apparatus.floors import BareDeque, Floor, SecondFloor
from ..apparatus.results import Results
from ..apparatus.sources import SOURCES
from .estimates import Distribution
from .formatting import format_amount

PERCENTILES: Final = 1 - np.logspace(np.log10(0.75), -3, 120)
FEWEST_BEYOND: Final = 20  # samples; of fewer a line would be a few events' luck
# A burst of more callbacks is not for every contender.
BURSTS: Final = tuple(f"python, {n:,} callbacks" for n in (100_000, 10_000, 1_000))
FUTURES: Final = "Futures, a post each"
FUTURES_WITH_ONE_POST: Final = "Futures, one post"
_TICKS: Final = (0.5, 0.9, 0.99, 0.999)
_TIMES: Final = [n * 10**power for power in range(7) for n in (1, 2, 5)]  # µs

mpl.use("Agg")
mpl.rcParams.update(
    {
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.size": 9,
        "svg.hashsalt": "aioteredo",  # the same picture, the same file
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
            # a date would make each picture another
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
    names = [*dict.fromkeys(c.name for c in CONTENDERS), FUTURES]
    color = mpl.colormaps["tab10"]([0, 1, 2, 4, 5, 6, 8, 9, 7])[names.index(name) % 9]
    return {"color": color, "linewidth": 1.1}


def _rows(
    results: Results, measure: str, metric: str
) -> Iterator[tuple[Any, Distribution]]:
    for row in results.rows:
        if (row.measure, row.metric) == (measure, metric):
            yield row.setup, Distribution(row.rounds)


def _panels(
    panels: list[tuple[str, str]], title: str, environment: dict[str, str]
) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    columns = [*dict.fromkeys(loop for loop, _ in panels)]
    lines = [*dict.fromkeys(case for _, case in panels)]
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


def _legend(figure: Figure, axes: list[Axes]) -> None:
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
    rows = [*_rows(results, "latency", "latency")]
    if not rows:
        return None
    panels = [
        (loop, case)
        for loop in loops.NAMES
        for case in SOURCES
        if any(setup[:2] == (loop, case) for setup, _ in rows)
    ]
    title = "From the callback to the consumer's next line (consumer idle; lower is better)"
    figure, axes = _panels(panels, title, results.environment)
    for setup, distribution in rows:
        if "polling" in setup.contender:
            continue  # a thousand times slower: the rest would be one line
        ax = axes[setup.loop, setup.case]
        known = PERCENTILES[(1 - PERCENTILES) * distribution.samples >= FEWEST_BEYOND]
        times = [distribution.quantile(float(p)) / 1e3 for p in known]
        ax.plot(1 / (1 - known), times, label=setup.contender, **_style(setup.contender))
    for (loop, case), ax in axes.items():
        ax.set_title(f"{loop}, {case} thread", loc="left", fontsize=9)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks([1 / (1 - q) for q in _TICKS], [f"{q * 100:g}" for q in _TICKS])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_locator(FixedLocator(_TIMES))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.grid(alpha=0.25)
        if case == panels[-1][1]:
            ax.set_xlabel("percentile")
        if loop == panels[0][0]:
            ax.set_ylabel("µs")
    _legend(figure, [*axes.values()])
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
    panels = [(name, case) for name in loops.NAMES if any(c.loop == name for c, _ in rows)]
    rounds = rows[0][1].rounds
    title = (
        f"Events a second in a burst from a Python thread: {case.split(', ')[1]} "
        f"(median; line: least to most of {rounds} rounds; higher is better)"
    )
    figure, axes = _panels(panels, title, results.environment)
    names = [*dict.fromkeys(setup.contender for setup, _ in rows)]
    names.sort(
        key=lambda name: sum(s.quantile(0.5) for c, s in rows if c.contender == name)
    )
    for setup, distribution in rows:
        ax, y = axes[setup.loop, case], names.index(setup.contender)
        rate = distribution.quantile(0.5)
        ax.barh(y, rate, color=_style(setup.contender)["color"])
        spread = [[rate - distribution.quantile(0.0)], [distribution.quantile(1.0) - rate]]
        ax.errorbar(rate, y, xerr=spread, color="black", linewidth=0.8)
        ax.annotate(
            f" {format_amount(rate, '')}",
            (distribution.quantile(1.0), y),
            va="center",
            fontsize=7,
        )
    for (loop, _), ax in axes.items():
        ax.set_title(loop, loc="left", fontsize=9)
        ax.set_yticks(range(len(names)), names)
        ax.margins(x=0.15)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: format_amount(x, "")))
        ax.set_xlabel("events a second")
    figure.tight_layout()
    return figure


def _fan_out(results: Results) -> Figure | None:
    rows = [*_rows(results, "fan-out", "time")]
    if not rows:
        return None
    panels = [
        (name, "python") for name in loops.NAMES if any(c[0].loop == name for c in rows)
    ]
    title = "One notification: until the last of so many consumers has it (lower is better)"
    figure, axes = _panels(panels, title, results.environment)
    for loop, _ in panels:
        for name in (Aioteredo.name, FUTURES, FUTURES_WITH_ONE_POST):
            points = sorted(
                (int(setup.case), distribution.quantile(0.5) / 1e6)
                for setup, distribution in rows
                if (setup.loop, setup.contender) == (loop, name)
            )
            if points:
                axes[loop, "python"].plot(
                    *zip(*points, strict=True),
                    marker="o",
                    markersize=3,
                    label=name,
                    **_style(name),
                )
    for (loop, _), ax in axes.items():
        ax.set_title(loop, loc="left", fontsize=9)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.grid(alpha=0.25)
        ax.set_xlabel("watches")
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_minor_formatter(NullFormatter())
        if loop == panels[0][0]:
            ax.set_ylabel("ms")
    _legend(figure, [*axes.values()])
    return figure
