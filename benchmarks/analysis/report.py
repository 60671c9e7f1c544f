"""The results as tables: aligned on a terminal, Markdown elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from ..apparatus.measure import Measure, Metric, Row
from ..apparatus.results import Results
from .compare import VERDICTS, Change
from .estimates import Distribution, ratio
from .formatting import format_amount, format_estimate
from .targets import Target

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
WIDE: Final = 130  # columns; else it is these quantiles that have ratios
_NARROW: Final = {name: QUANTILES[name] for name in ("p50", "p99")}


def show_tables(results: Results, measures: Iterable[Measure], console: Console) -> None:
    """Print a table for each case of each measure."""
    for measure in measures:
        rows = [row for row in results.rows if row.measure == measure.name]
        rows.sort(key=lambda row: (row.setup.loop, row.setup.case))
        for (loop, case), group in groupby(rows, lambda row: row.setup[:2]):
            where = f"{loop}, {case}" if loop != "none" else case
            title = f"{measure.title} ({where})"
            console.print(_table(measure, title, [*group], console))
            console.print()


def _border(console: Console) -> box.Box:
    return box.ROUNDED if console.is_terminal else box.MARKDOWN


def _table(measure: Measure, title: str, rows: list[Row], console: Console) -> Table:
    table = Table(title=title, title_justify="left", box=_border(console))
    table.add_column("", no_wrap=True)
    quantiles = QUANTILES if console.width >= WIDE else _NARROW
    lines: dict[str, list[str]] = {}
    order: dict[str, float] = {}
    for name, metric in measure.metrics.items():
        here = [row for row in rows if row.metric == name]
        for heading in _headings(measure, name, metric, quantiles):
            table.add_column(heading, justify="right", overflow="fold")
        below = next((row for row in here if row.setup.contender == measure.base), None)
        for row in here:
            distribution = Distribution(row.rounds)
            columns = lines.setdefault(row.setup.contender, [])
            columns += _figures(distribution, below, metric, quantiles)
            columns += _ratios(distribution, below, metric)
            sign = -1 if metric.higher_is_better else 1
            order.setdefault(row.setup.contender, sign * distribution.quantile(0.5))
    for contender in sorted(lines, key=order.__getitem__):
        emphasis = "bold" if contender.startswith("aioteredo") else None
        table.add_row(contender, *lines[contender], style=emphasis)
    return table


def _headings(
    measure: Measure, name: str, metric: Metric, quantiles: Iterable[str]
) -> list[str]:
    if metric.distribution:
        to = f"to {measure.base}"
        return [*quantiles, f"p50 over {measure.base}", f"p50 {to}", f"p99 {to}"]
    return [name, f"to {measure.base}"]


def _figures(
    distribution: Distribution,
    below: Row | None,
    metric: Metric,
    quantiles: dict[str, float],
) -> Iterator[str]:
    if not metric.distribution:
        yield format_amount(distribution.quantile(0.5), metric.unit)
        return
    for q in quantiles.values():
        yield (
            format_amount(distribution.quantile(q), metric.unit)
            if distribution.has_quantile(q)
            else ""
        )
    if below is None:
        yield ""
    else:
        difference = distribution.quantile(0.5) - Distribution(below.rounds).quantile(0.5)
        yield format_amount(difference, metric.unit)


def _ratios(distribution: Distribution, below: Row | None, metric: Metric) -> Iterator[str]:
    for q in (0.5, 0.99) if metric.distribution else (0.5,):
        base = None if below is None else Distribution(below.rounds)
        known = base is not None and distribution.has_quantile(q) and base.has_quantile(q)
        if base is None or not known or 0 in (base.quantile(0), distribution.quantile(0)):
            yield ""
        else:
            yield format_estimate(ratio(distribution, base, q))


def show_targets(targets: Iterable[Target], console: Console) -> None:
    """Print what is meant to be reached."""
    table = Table(title="To reach", title_justify="left", box=_border(console))
    for heading in ("", "here"):
        table.add_column(heading, overflow="fold")
    table.add_column("reached", no_wrap=True)
    for target in targets:
        table.add_row(*target)
    if table.row_count:
        console.print(table)


def show_changes(changes: Sequence[Change], old: dict[str, str], console: Console) -> None:
    """Print what changed since the run that *old* is about."""
    title = f"Since {old['time']} ({old['revision']}, {old['python']}, {old['processor']})"
    table = Table(title=title, title_justify="left", box=_border(console))
    for heading in ("aioteredo to its base", "factor", "verdict"):
        table.add_column(heading)
    for change in changes:
        factor = "" if change.factor is None else format_estimate(change.factor)
        table.add_row(change.figure, factor, change.verdict)
    console.print(table)
    judged = sum(change.verdict in VERDICTS for change in changes)
    console.print(f"{judged} of {len(changes)} compared")


def show_environment(environment: dict[str, str], console: Console) -> None:
    """Print where and how the run was made."""
    console.print("; ".join(f"{key}: {value}" for key, value in environment.items()))
