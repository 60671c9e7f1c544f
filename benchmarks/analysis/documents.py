"""The figures of a run in the documents: pictures, tables and sentences.

They stand between two comments. Nothing is copied by hand, so the documents and the
pictures show the same figures.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ..apparatus.contenders import Aioteredo
from ..apparatus.measure import Measure, Metric
from ..apparatus.results import Results
from ..apparatus.sources import SOURCES
from . import charts, figures
from .estimates import Distribution, Estimate, level
from .formatting import format_amount, format_plus_minus, format_range, format_value
from .plots import draw_plots
from .svg import THEMES, Chart
from .targets import judge

README: Final = "README.md"
PAGE: Final = "docs/performance.md"
PLOTS: Final = "benchmarks/plots"
RAW: Final = f"https://raw.githubusercontent.com/aioteredo/aioteredo/main/{PLOTS}"
BLOCK: Final = re.compile(
    r"(?<=<!-- benchmarks: )([\w/-]+)( -->\n).*?(?=<!-- benchmarks end -->)", re.DOTALL
)


def publish(results: Results, measures: Sequence[Measure], root: Path) -> list[Path]:
    """Rewrite the pictures, and in the documents each block whose measure is in *results*.

    :return: the files that were written
    :raises OSError: if a file cannot be read or written
    """
    paths = draw_plots(results, root / PLOTS)
    drawn = charts.draw_charts(results)
    front = _front(results, drawn["latency"]) if "latency" in drawn else None
    for name, blocks in {
        README: {} if front is None else {"latency": front},
        PAGE: _page_blocks(results, measures, drawn),
    }.items():
        path = root / name
        text = path.read_text("utf-8")
        path.write_text(fill(text, blocks), "utf-8")
        paths.append(path)
    return paths


def fill(text: str, blocks: Mapping[str, str]) -> str:
    """Return *text* with the new content of the blocks that it has."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        return f"{name}{match[2]}\n{blocks[name]}\n\n" if name in blocks else match[0]

    return BLOCK.sub(replace, text)


def _front(results: Results, chart: Chart) -> str:
    alt = chart.description.replace('"', "&quot;")
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{RAW}/latency-dark.svg">\n'
        f'  <img src="{RAW}/latency-light.svg" width="880" alt="{alt}">\n'
        "</picture>\n\n"
        f"{charts.summarize_latency(results)}"
    )


def _wrap(sentence: str) -> str:
    return textwrap.fill(sentence, 120, break_on_hyphens=False)


def _page_blocks(
    results: Results, measures: Sequence[Measure], drawn: Mapping[str, Chart]
) -> dict[str, str]:
    blocks: dict[str, list[str]] = {
        name: [_picture(name, chart)] for name, chart in drawn.items()
    }
    if "latency" in drawn:
        blocks["latency"].insert(0, _wrap(charts.summarize_latency(results)))
    if "latency-loops" in drawn:
        blocks["latency-loops"].append(_added_table(results))
    if "latency-tail" in drawn:
        blocks["latency-tail"].append(_tail_table(results))
    if "burst" in drawn:
        blocks["burst"].append(_burst_table(results))
    if "fan-out" in drawn:
        blocks["fan-out"] += [_fan_out_table(results), _fan_out_growth(results)]

    for measure in measures:
        rows = [row for row in results.rows if row.measure == measure.name]
        if not rows:
            continue
        if measure.name not in blocks:
            blocks[measure.name] = [
                *(_medians(results, measure, metric) for metric in measure.metrics),
                f"{figures.provenance(results, measure.name)}.",
            ]
        judged = judge(Results(results.environment, rows))
        if judged:
            header = ["target", "this run", "reached"]
            blocks[f"{measure.name}-targets"] = [_table([header, *map(list, judged)])]
    return {name: "\n\n".join(parts) for name, parts in blocks.items()}


def _picture(name: str, chart: Chart) -> str:
    # Furo shows one of the two. The quotes keep a colon in the text from ending it.
    alt = json.dumps(chart.description, ensure_ascii=False)
    return "\n\n".join(
        f"```{{image}} ../{PLOTS}/{name}-{theme}.svg\n"
        f":class: only-{theme}\n:alt: {alt}\n```"
        for theme in THEMES
    )


def _added_table(results: Results) -> str:
    columns = {
        f"{loop}, {case}": figures.added_latency(results, loop, case)
        for case in reversed(SOURCES)
        for loop in figures.measured_loops(results, "latency")
    }
    cells = {title: _format(found, format_plus_minus) for title, found in columns.items()}
    order = figures.sort_contenders(columns.values())
    return _matrix("µs added to the floor, by loop and thread", cells, order)


def _tail_table(results: Results) -> str:
    cells: dict[str, dict[str, str]] = {}
    tails = []
    for loop in figures.measured_loops(results, "latency"):
        rows = figures.rows_of(results, "latency", "latency", loop, figures.MAIN[1])
        tail = figures.quantiles(rows, 0.99, 1e3)
        medians = figures.quantiles(rows, 0.5, 1e3)
        cells[f"{loop}, p50"] = {name: format_value(medians[name].value) for name in tail}
        cells[f"{loop}, p99"] = _format(tail, format_range)
        tails.append(tail)
    return _matrix("µs, native thread", cells, figures.sort_contenders(tails))


def _burst_table(results: Results) -> str:
    rates = figures.burst_figures(results)
    cells = {loop: _format(found, format_range) for loop, found in rates.items()}
    order = figures.sort_contenders(rates.values(), descending=True)
    return _matrix("thousand events a second", cells, order)


def _fan_out_table(results: Results) -> str:
    times = figures.fan_out_figures(results)
    cells = {loop: _format(found, format_range) for loop, found in times.items()}
    return _matrix(
        f"ms, {int(figures.fan_out_case(results) or 0):,} consumers",
        cells,
        figures.sort_contenders(times.values()),
    )


def _fan_out_growth(results: Results) -> str:
    cells: dict[str, dict[str, str]] = {}
    sizes = {int(row.setup.case) for row in results.rows if row.measure == "fan-out"}
    order: dict[str, None] = {}
    for size in sorted(sizes):
        column = cells[f"{size:,}"] = {}
        for loop in figures.measured_loops(results, "fan-out"):
            rows = figures.rows_of(results, "fan-out", "time per watch", loop, str(size))
            for name, estimate in figures.quantiles(rows, 0.5, 1e3).items():
                column[f"{name}, {loop}"] = format_value(estimate.value)
        order.update(dict.fromkeys(column))
    return _matrix("µs for each consumer, by their number", cells, order)


def _medians(results: Results, measure: Measure, metric: str) -> str:
    cells: dict[str, dict[str, str]] = {}
    for row in results.rows:
        if (row.measure, row.metric) == (measure.name, metric):
            loop, case, contender = row.setup
            title = case if loop == "none" else f"{loop}, {case}"
            cell = _median(Distribution(row.rounds), measure.metrics[metric])
            cells.setdefault(title, {})[contender] = cell
    order = dict.fromkeys(name for column in cells.values() for name in column)
    return _matrix(f"{metric}, median", cells, order)


def _median(distribution: Distribution, metric: Metric) -> str:
    """Return the median with its unit, and its interval in per cent."""
    value = distribution.quantile(0.5)
    text = format_amount(value, metric.unit)
    if metric.is_count or distribution.rounds < 2 or distribution.quantile(0) <= 0:
        return text
    width = level(distribution, 0.5).high / value - 1
    return f"{text} ± {100 * width:.0f} %"


def _format(
    found: Mapping[str, Estimate], text: Callable[[float, float, float], str]
) -> dict[str, str]:
    return {name: text(*estimate) for name, estimate in found.items()}


def _matrix(
    corner: str, columns: Mapping[str, Mapping[str, str]], order: Iterable[str]
) -> str:
    rows = []
    for name in order:
        bold = "**" if name == Aioteredo.name else ""
        cells = (column.get(name, "—") for column in columns.values())
        # A figure and its interval stay on one line.
        unbroken = (cell.replace(" ", "\N{NO-BREAK SPACE}") for cell in cells)
        rows.append([f"{bold}{figures.label(name)}{bold}", *unbroken])
    return _table([[corner, *columns], *rows])


def _table(rows: list[list[str]]) -> str:
    header, *body = rows
    rule = ["---", *["---:" for _ in header[1:]]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *body])
