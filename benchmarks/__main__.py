"""The command: ``python -m benchmarks``, in a checkout."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

from .analysis import compare, documents, plots, report, targets
from .apparatus import results
from .apparatus.measure import Measure, Row, Workload, run_rounds
from .apparatus.results import Results
from .measures.burst import Burst
from .measures.callback_cost import CallbackCost
from .measures.fan_out import FanOut
from .measures.idle import Idle
from .measures.imports import Import
from .measures.latency import Latency, LoadedLatency
from .measures.open_close import OpenClose
from .measures.stalled import Stalled

ROOT: Final = Path(__file__).parents[1]
MEASURES: Final[tuple[type[Measure], ...]] = (
    *(Latency, LoadedLatency, CallbackCost, Burst, Stalled, FanOut),
    *(OpenClose, Idle, Import),
)


def main() -> int:
    """Run the command line.

    :return: 0; 2 for wrong usage, a file that cannot be read or written, or runs without a
        figure to compare; 3 if a figure of aioteredo is slower than in the other run; 130
        after Ctrl-C, when the finished measures are reported
    """
    parser = _parser()
    arguments = parser.parse_args()
    unknown = {*arguments.measure} - {kind.name for kind in MEASURES}
    if unknown:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    chosen = arguments.measure or {kind.name for kind in MEASURES}
    measures = [kind() for kind in MEASURES if kind.name in chosen]
    try:
        return _run(arguments, measures)
    except (OSError, ValueError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace, measures: list[Measure]) -> int:
    # A table is folded to the terminal's width. A file gets its rows in one line each.
    console = Console(width=None if sys.stdout.isatty() else 400)

    # Try all files first. A run takes minutes, and its results would be lost at the end.
    old = None if arguments.compare is None else results.load(arguments.compare)
    run = None if arguments.load is None else results.load(arguments.load)
    if arguments.json is not None:
        if arguments.json.is_dir():
            raise IsADirectoryError(f"{arguments.json} is a directory")
        tempfile.TemporaryFile(dir=arguments.json.parent).close()
    if arguments.plot is not None:
        arguments.plot.mkdir(parents=True, exist_ok=True)

    interrupted = False
    if run is None:
        run, interrupted = _measure(
            [(measure, _workload(measure, arguments)) for measure in measures]
        )
    if arguments.json is not None and run.rows:
        results.save(run, arguments.json, [kind() for kind in MEASURES])

    report.show_tables(run, measures, console)
    report.show_targets(targets.judge(run), console)
    if arguments.plot is not None:
        for path in plots.draw_plots(run, arguments.plot):
            console.print(path)
    report.show_environment(run.environment, console)
    if interrupted:
        return 130
    if arguments.publish:
        for path in documents.publish(run, measures, ROOT):
            console.print(path)
    return 0 if old is None else _compare(run, old, measures, console)


def _compare(new: Results, old: Results, measures: list[Measure], console: Console) -> int:
    changes = compare.compare(new, old, measures)
    report.show_changes(changes, old.environment, console)
    if any(change.verdict == "slower" for change in changes):
        return 3
    if not any(change.factor is not None for change in changes):
        raise ValueError("no time or rate could be compared: see the verdicts")
    return 0


def _workload(measure: Measure, arguments: argparse.Namespace) -> Workload:
    workload = measure.quick if arguments.quick else measure.full
    if arguments.rounds is None:
        return workload
    return workload._replace(rounds=arguments.rounds)


def _measure(workloads: list[tuple[Measure, Workload]]) -> tuple[Results, bool]:
    """Return the results of the finished measures, and whether Ctrl-C ended the run."""
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)  # noqa: S311 - no secret
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    environment = results.describe_environment(command, seed)
    rows: list[Row] = []

    console = Console(stderr=True)
    defaults = Progress.get_default_columns()[:3]
    columns = (*defaults, TimeElapsedColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            for measure, workload in workloads:
                total = workload.rounds * len(measure.setups_within(workload.size))
                task = bar.add_task(measure.title, total=total)
                rows += run_rounds(measure, workload, rng, partial(bar.advance, task))
    except BaseException as error:
        if not _is_interrupt(error):
            raise
        return Results(environment, rows), True
    return Results(environment, rows), False


def _is_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):  # A task group wraps it.
        return error.split(KeyboardInterrupt)[1] is None
    return isinstance(error, KeyboardInterrupt)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure aioteredo side by side with its alternatives.",
        epilog="The method and the exit statuses are described in benchmarks/README.md.",
    )
    add = parser.add_argument
    names = ", ".join(kind.name for kind in MEASURES)
    add("measure", nargs="*", help=f"{names}; the default is all of them")
    add("--quick", action="store_true", help="run fewer rounds, all within 90 seconds")
    add("--rounds", type=_rounds, metavar="N", help="more rounds give narrower intervals")
    add("--json", type=Path, metavar="FILE", help="save the raw results")
    add(
        "--plot",
        type=Path,
        metavar="DIR",
        help="draw the pictures, each in a light and a dark SVG",
    )
    publish_help = "rewrite the pictures, tables and figures of the documentation"
    add("--publish", action="store_true", help=publish_help)
    compare_help = "compare with a saved run; exit with 3 if aioteredo is slower now"
    add("--compare", type=Path, metavar="FILE", help=compare_help)
    add("--load", type=Path, metavar="FILE", help="report on a saved run; measure nothing")
    return parser


def _rounds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
