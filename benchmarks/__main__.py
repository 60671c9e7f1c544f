"""The command: ``python -m benchmarks``, in a checkout."""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

from .analysis import compare, report, targets
from .apparatus import results
from .apparatus.measure import Measure, Row, Workload, run_rounds, setups_within
from .measures.burst import Burst
from .measures.callback_cost import CallbackCost
from .measures.fan_out import FanOut
from .measures.idle import Idle
from .measures.imports import Import
from .measures.latency import Latency, LoadedLatency
from .measures.open_close import OpenClose
from .measures.stalled import Stalled

MEASURES: Final[tuple[type[Measure], ...]] = (
    Latency,
    LoadedLatency,
    CallbackCost,
    Burst,
    Stalled,
    FanOut,
    OpenClose,
    Idle,
    Import,
)


def main() -> int:
    """Run the command line.

    :return: 0; 2 for wrong usage, a file that cannot be read or written, or two runs that
        have nothing to compare; 3 if something of aioteredo's is slower than in the run
        compared with; 130 if it was interrupted, after it has reported what is measured
    """
    parser = _parser()
    arguments = parser.parse_args()
    unknown = {*arguments.measure} - {cls.name for cls in MEASURES}
    if unknown:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    measures = [
        cls() for cls in MEASURES if not arguments.measure or cls.name in arguments.measure
    ]
    try:
        return _run(arguments, measures)
    except (OSError, ValueError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace, measures: list[Measure]) -> int:
    console = Console(width=None if sys.stdout.isatty() else 400)
    # what would fail in the end fails now
    old = None if arguments.compare is None else results.load(arguments.compare)
    found = None if arguments.load is None else results.load(arguments.load)
    if arguments.json is not None:
        if arguments.json.is_dir():
            raise IsADirectoryError(f"{arguments.json} is a directory")
        tempfile.TemporaryFile(dir=arguments.json.parent).close()
    if arguments.plot is not None:
        from .analysis import plots  # matplotlib takes its time

        arguments.plot.mkdir(parents=True, exist_ok=True)
    interrupted = False
    if found is None:
        found, interrupted = _measure(
            [(measure, _workload(measure, arguments)) for measure in measures]
        )
    if arguments.json is not None and found.rows:
        results.save(found, arguments.json, [cls() for cls in MEASURES])
    report.show_tables(found, measures, console)
    report.show_targets(targets.judge(found), console)
    if arguments.plot is not None:
        for path in plots.draw_plots(found, arguments.plot):
            console.print(path)
    report.show_environment(found.environment, console)
    if interrupted:
        return 130
    return 0 if old is None else _compare(found, old, measures, console)


def _compare(
    new: results.Results, old: results.Results, measures: list[Measure], console: Console
) -> int:
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
    return dataclasses.replace(workload, rounds=arguments.rounds)


def _measure(workloads: list[tuple[Measure, Workload]]) -> tuple[results.Results, bool]:
    """All that is finished, and whether it was interrupted before the rest."""
    seed = random.SystemRandom().getrandbits(32)
    rng, rows = random.Random(seed), list[Row]()  # noqa: S311 - no secret
    environment = results.describe_environment(
        " ".join(["python -m benchmarks", *sys.argv[1:]]), seed
    )
    console = Console(stderr=True)
    columns = (
        *Progress.get_default_columns()[:3],
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(
            *columns, console=console, disable=not console.is_terminal
        ) as progress:
            for measure, workload in workloads:
                total = workload.rounds * len(setups_within(measure, workload))
                ticks = progress.track(range(total), total, description=measure.title)
                rows += run_rounds(measure, workload, rng, ticks)
    except BaseException as error:
        if not _is_interrupt(error):
            raise
        return results.Results(environment, rows), True
    return results.Results(environment, rows), False


def _is_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):  # of a task group on trio
        return error.split(KeyboardInterrupt)[1] is None
    return isinstance(error, KeyboardInterrupt)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure aioteredo side by side with what one would pick instead.",
    )
    names = [cls.name for cls in MEASURES]
    parser.add_argument(
        "measure",
        nargs="*",
        metavar="measure",
        help=f"{', '.join(names)}; default: all",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, within 90 s")
    parser.add_argument(
        "--rounds",
        type=_rounds,
        metavar="N",
        help="so many for each measure: more of them narrow the intervals",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw, as SVG and PNG")
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="OLD.json",
        help="say what changed since that run; exit 3 if aioteredo is slower",
    )
    parser.add_argument(
        "--load",
        type=Path,
        metavar="FILE",
        help="measure nothing, report on this run",
    )
    return parser


def _rounds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
