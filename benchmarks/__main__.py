"""The command: ``python -m benchmarks``, in a checkout."""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

from . import compare, measure, report, results, targets
from .dispatch import CallbackCost, Latency, LoadedLatency
from .fan_out import FanOut
from .measure import Measure, Plan, Row
from .overhead import Idle, Import, OpenClose
from .volume import Burst, Stalled

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

    :return: 0; 1 if something of aioteredo's is slower than in the run compared with; 2 for
        wrong usage, or a file that cannot be read or written
    """
    parser = _parser()
    arguments = parser.parse_args()
    unknown = {*arguments.measure} - {cls.name for cls in MEASURES}
    if unknown:
        parser.error(f"no such measure: {', '.join(sorted(unknown))}")
    console = Console(width=None if sys.stdout.isatty() else 400)
    measures = [
        cls() for cls in MEASURES if not arguments.measure or cls.name in arguments.measure
    ]
    try:
        # what would fail in the end fails now
        if arguments.json is not None:
            arguments.json.open("a").close()
        if arguments.plot is not None:
            from . import plots  # matplotlib takes its time

            arguments.plot.mkdir(parents=True, exist_ok=True)
        old = None if arguments.compare is None else results.load(arguments.compare)
        if arguments.load is not None:
            found = results.load(arguments.load)
        else:
            plans = [_plan(measure, arguments) for measure in measures]
            found = _measure(measures, plans)
        if arguments.json is not None:
            results.save(found, arguments.json, [cls() for cls in MEASURES])
        report.show(found, measures, console)
        report.show_targets(targets.judge(found), console)
        if arguments.plot is not None:
            for path in plots.plot(found, arguments.plot):
                console.print(path)
    except (OSError, ValueError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    report.show_about(found.about, console)
    if old is None:
        return 0
    changes = compare.compare(found, old, measures)
    report.show_changes(changes, old.about, console)
    return int(any(change.verdict == "slower" for change in changes))


def _plan(measure: Measure, arguments: argparse.Namespace) -> Plan:
    plan = measure.quick if arguments.quick else measure.full
    if arguments.rounds is None:
        return plan
    return dataclasses.replace(plan, rounds=arguments.rounds)


def _measure(measures: list[Measure], plans: list[Plan]) -> results.Results:
    rng, rows = random.Random(), list[Row]()  # noqa: S311 - no secret
    console = Console(stderr=True)
    columns = (
        *Progress.get_default_columns()[:3],
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for one, plan in zip(measures, plans, strict=True):
            total = plan.rounds * len(measure.cells_of(one, plan))
            ticks = progress.track(range(total), total, description=one.title)
            rows += measure.run(one, plan, rng, ticks)
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    return results.Results(results.about(command), rows)


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
        help="say what changed since that run; exit 1 if aioteredo is slower",
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
