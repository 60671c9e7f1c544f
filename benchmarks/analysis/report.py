"""The results as tables: with a border on a terminal, and as Markdown elsewhere."""

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
from .formatting import format_amount
from .targets import Target

QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
NARROW_QUANTILES: Final = {"p50": 0.5, "p99": 0.99}
WIDE: Final = 130  # columns of a terminal that has room for all quantiles


def show_tables(results: Results, measures: Iterable[Measure], console: Console) -> None:
    """Print a table for each loop and case of each measure."""
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
    quantiles = {
        name: q
        for name, q in (QUANTILES if console.width >= WIDE else NARROW_QUANTILES).items()
        if any(Distribution(row.rounds).has_quantile(q) for row in rows)
    }
    lines: dict[str, list[str]] = {}
    order: dict[str, float] = {}

    for name, metric in measure.metrics.items():
        for heading in _headings(measure, name, metric, quantiles):
            table.add_column(heading, justify="right", overflow="fold")

        distributions = {
            row.setup.contender: Distribution(row.rounds)
            for row in rows
            if row.metric == name
        }
        base = distributions.get(measure.base)
        for contender, distribution in distributions.items():
            columns = lines.setdefault(contender, [])
            columns += _figures(distribution, base, metric, quantiles)
            columns += _ratios(distribution, base, metric)
            sign = -1 if metric.higher_is_better else 1
            order.setdefault(contender, sign * distribution.quantile(0.5))

    for contender in sorted(lines, key=order.__getitem__):
        emphasis = "bold" if contender.startswith("aioteredo") else None
        table.add_row(contender, *lines[contender], style=emphasis)
    return table


def _headings(
    measure: Measure, name: str, metric: Metric, quantiles: Iterable[str]
) -> list[str]:
    to = f"to {measure.base}"
    if metric.has_tail:
        return [*quantiles, f"p50 over {measure.base}", f"p50 {to}", f"p99 {to}"]
    return [name, to]


def _figures(
    distribution: Distribution,
    base: Distribution | None,
    metric: Metric,
    quantiles: dict[str, float],
) -> Iterator[str]:
    if not metric.has_tail:
        yield format_amount(distribution.quantile(0.5), metric.unit)
        return

    for q in quantiles.values():
        known = distribution.has_quantile(q)
        yield format_amount(distribution.quantile(q), metric.unit) if known else ""
    if base is None:
        yield ""
    else:
        difference = distribution.quantile(0.5) - base.quantile(0.5)
        yield format_amount(difference, metric.unit)


def _ratios(
    distribution: Distribution, base: Distribution | None, metric: Metric
) -> Iterator[str]:
    for q in (0.5, 0.99) if metric.has_tail else (0.5,):
        known = base is not None and distribution.has_quantile(q) and base.has_quantile(q)
        if base is None or not known or 0 in (base.quantile(0), distribution.quantile(0)):
            yield ""
        else:
            yield str(ratio(distribution, base, q))


def show_targets(targets: Iterable[Target], console: Console) -> None:
    """Print the targets, and whether the run shows that they are reached."""
    table = Table(title="Targets", title_justify="left", box=_border(console))
    table.add_column("target", overflow="fold")
    table.add_column("this run", overflow="fold")
    table.add_column("reached", no_wrap=True)
    for target in targets:
        table.add_row(*target)
    if table.row_count:
        console.print(table)


def show_changes(changes: Sequence[Change], old: dict[str, str], console: Console) -> None:
    """Print the changes since the run whose environment is *old*."""
    run = "{time} ({revision}, {python}, {processor})".format_map(old)
    table = Table(title=f"Changes since {run}", title_justify="left", box=_border(console))
    for heading in ("aioteredo to its base", "factor", "verdict"):
        table.add_column(heading)
    for change in changes:
        factor = "" if change.factor is None else str(change.factor)
        table.add_row(change.figure, factor, change.verdict)
    console.print(table)
    judged = sum(change.verdict in VERDICTS for change in changes)
    console.print(f"{judged} of {len(changes)} figures compared")


def show_environment(environment: dict[str, str], console: Console) -> None:
    """Print the command, the machine and the versions of the run."""
    console.print("; ".join(f"{key}: {value}" for key, value in environment.items()))
