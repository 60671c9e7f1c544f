"""The benchmarks: that they measure what they say, and tell a change from noise."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from .support.requirements import require
from .support.waiting import limit

try:
    from rich.console import Console

    from benchmarks.__main__ import MEASURES
    from benchmarks.analysis import plots, report, targets
    from benchmarks.analysis.compare import compare
    from benchmarks.analysis.estimates import Sampled, ratio
    from benchmarks.apparatus import loops, results
    from benchmarks.apparatus.contenders import ALL, Aioteredo, find
    from benchmarks.apparatus.measure import (
        Cell,
        Measure,
        Metric,
        Plan,
        Row,
        Samples,
        cells_of,
        run,
    )
    from benchmarks.apparatus.results import Results
    from benchmarks.apparatus.sources import GAP, SOURCES, ports
    from benchmarks.measures.burst import Burst
    from benchmarks.measures.callback_cost import STALLED, CallbackCost
    from benchmarks.measures.fan_out import FanOut
    from benchmarks.measures.idle import NOTHING, Idle
    from benchmarks.measures.latency import Latency, LoadedLatency, pace
    from benchmarks.measures.open_close import OpenClose
    from benchmarks.measures.stalled import Stalled
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] in ("aioteredo", "benchmarks", "tests"):
        raise
    MISSING: str | None = f"the group bench is not installed: {error}"
else:
    MISSING = "not a benchmark's platform" if sys.platform == "win32" else None

# some wait for a process that measures, beside whatever else the machine does
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parent.parent
SMALL = 8


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell" not in metafunc.fixturenames:
        return
    pairs: list[tuple[Measure, Cell]] = []
    if MISSING is None:
        kinds = (Latency, CallbackCost, Burst, Stalled, OpenClose)
        pairs = [(m, c) for m in (k() for k in kinds) for c in cells_of(m, m.quick)]
        pairs += [(FanOut(), c) for c in cells_of(FanOut(), Plan(1, 10))]
        # a slice of what differs from Latency in nothing but the load
        pairs += [(LoadedLatency(), c) for c in LoadedLatency().cells()[:12]]
    ids = ["-".join((measure.name, *cell)) for measure, cell in pairs]
    metafunc.parametrize("measure, cell", pairs, ids=ids)


@pytest.fixture(autouse=True)
def _required(request: pytest.FixtureRequest) -> None:
    require("benchmarks", MISSING)
    request.getfixturevalue("_stand_in")


def test_each_cell_brings_through_what_it_is_given(measure: Measure, cell: Cell) -> None:
    """Every contender gets its events, in order where it keeps them, and is measured."""
    samples = measure.run(cell, SMALL)  # which checks the events itself
    assert {*samples} == {*measure.metrics}
    for values in samples.values():
        assert values
        assert min(values) >= 0


@pytest.mark.parametrize("case", ["python", "native"])
def test_next_callback_waits_for_an_idle_consumer(case: str) -> None:
    """A callback comes a gap after the consumer had the one before, no earlier."""
    source = SOURCES[case]()
    cell = Cell("asyncio", case, "aioteredo")
    received, stamps, events = pace(Aioteredo, cell, source, SMALL, 0)
    assert [event.port for event in events] == ports(SMALL)
    for before, after in zip(received, stamps.entered[1:], strict=False):
        assert after - before >= GAP


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_stalled_loop_holds_one_handle_and_a_buffer(loop: str) -> None:
    """What aioteredo is meant to reach is counted as such."""
    if loop not in loops.AVAILABLE:
        pytest.skip(f"{loop} is not installed")
    held = Stalled().run(Cell(loop, "python", "aioteredo"), 1_000)
    assert (held["handles"], held["events"]) == ([1], [16])
    held = Stalled().run(Cell(loop, "python", "recipe"), 1_000)
    assert (held["handles"], held["events"]) == ([1_000], [1_000])


def test_polling_wakes_an_idle_process_and_a_watch_does_not() -> None:
    """Wake-ups are the process's own, counted by the system."""
    wakeups = {
        name: Idle().run(Cell("asyncio", "python", name), 1)["wake-ups"][0]
        for name in (NOTHING, Aioteredo.name, Idle.base)
    }
    assert wakeups[Idle.base] > 10 > wakeups[Aioteredo.name]


def dice(factor: float, seed: int) -> Measure:
    """Two contenders, one takes *factor* as long, on a machine that gets slower."""
    rng = random.Random(seed)

    class Dice(Measure):
        name = "dice"
        title = "Dice"
        base = "floor"
        metrics: ClassVar = {"time": Metric("ns", distribution=True)}
        quick = full = Plan(30, 40)

        def __init__(self) -> None:
            self.order: list[Cell] = []

        def cells(self) -> list[Cell]:
            return [Cell("none", "", name) for name in ("floor", "aioteredo")]

        def run(self, cell: Cell, size: int) -> Samples:
            self.order.append(cell)
            scale = 1 + len(self.order) // 2 / 10
            scale *= factor if cell.contender == "aioteredo" else 1
            return {"time": [1e5 * scale * rng.lognormvariate(0, 0.2) for _ in range(40)]}

    return Dice()


def rolled(factor: float, seed: int) -> tuple[Measure, Results]:
    measure = dice(factor, seed)
    rows = [Row("dice", cell, "time", 40, []) for cell in measure.cells()]
    for _ in range(measure.full.rounds):
        for row in rows:
            row.rounds.append(measure.run(row.cell, 40)["time"])
    return measure, Results({}, rows)


def test_rounds_are_shuffled_and_whole() -> None:
    """Each round runs every cell once, and not always in the same order."""
    measure = dice(1, 1)
    run(measure, measure.full, random.Random(1), [])
    order = measure.order  # type: ignore[attr-defined]
    halves = [tuple(order[i : i + 2]) for i in range(0, len(order), 2)]
    assert len(halves) == 30
    assert all(len({*half}) == 2 for half in halves)
    assert len({*halves}) == 2


def test_drift_of_the_machine_is_no_difference() -> None:
    """What slows all contenders alike widens no interval: each is near the true ratio."""
    for seed in range(20):
        _, made = rolled(1.1, seed)
        above, below = (Sampled(made.rows[i].rounds) for i in (1, 0))
        estimate = ratio(above, below, 0.5)
        assert 1.1 / 1.15 < estimate.low < estimate.value < estimate.high < 1.1 * 1.15


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, "noise"), (1.25, "slower"), (0.8, "faster")]
)
def test_comparison_tells_a_change_from_noise(factor: float, verdict: str) -> None:
    """A quarter is seen in nearly each of 40 runs, and nothing where nothing changed."""
    verdicts: Counter[str] = Counter()
    for seed in range(40):
        measure, old = rolled(1.0, seed)
        _, new = rolled(factor, 1_000 + seed)
        verdicts.update(c.verdict for c in compare(new, old, [measure]) if "p50" in c.what)
    assert verdicts[verdict] >= 38
    assert sum(verdicts.values()) == 40


def counted(wakeups: float, *, size: int = 1, rounds: int = 5) -> Results:
    cells = [Cell("asyncio", "python", name) for name in ("aioteredo", Idle.base)]
    return Results(
        {},
        [
            Row("idle", cell, metric, size, [[value]] * rounds)
            for cell in cells
            for metric, value in (("wake-ups", wakeups), ("processor", 1e6))
        ],
    )


@pytest.mark.parametrize(
    ("new", "verdicts"),
    [
        (lambda: counted(0), {"wake-ups": "same", "processor": "noise"}),
        (lambda: counted(1), {"wake-ups": "slower", "processor": "noise"}),
        (
            lambda: counted(0, rounds=2),
            {"wake-ups": "same", "processor": "fewer than 5 rounds"},
        ),
        (
            lambda: counted(0, size=2),
            dict.fromkeys(("wake-ups", "processor"), "of 1 before, of 2 now"),
        ),
    ],
    ids=["same", "a wake-up more", "few rounds", "another size"],
)
def test_comparison_says_what_it_cannot_compare(
    new: Callable[[], Results], verdicts: dict[str, str]
) -> None:
    """A count counts from 0 on; what has no interval, or another size, is said to."""
    changes = compare(new(), counted(0), [Idle()])
    found = {c.what.split(": ")[1].split()[0]: c.verdict for c in changes}
    assert found == verdicts


def small_results() -> Results:
    rows: list[Row] = []
    for kind in (Latency, Burst, FanOut, Stalled, CallbackCost):
        measure = kind()
        names = {measure.base, "floor", "second floor", "aioteredo"}

        def cells(all_: Any = measure.cells, names: Any = names) -> list[Cell]:
            return [c for c in all_() if c.contender in names and c.loop == "asyncio"]

        measure.cells = cells  # type: ignore[method-assign]
        plan = Plan(2, Burst.quick.size if kind is Burst else 10)
        rows += run(measure, plan, random.Random(1), [])
    return Results(results.about("python -m benchmarks", 1), rows)


def test_saved_results_are_the_measured_ones(tmp_path: Path) -> None:
    """A file gives the same figures again, to the three digits of its histograms."""
    made = small_results()
    results.save(made, tmp_path / "it.json", [kind() for kind in MEASURES])
    loaded = results.load(tmp_path / "it.json")
    assert loaded.about == made.about
    assert [row[:4] for row in loaded.rows] == [row[:4] for row in made.rows]
    for before, after in zip(made.rows, loaded.rows, strict=True):
        for q in (0.5, 0.99, 1.0):
            expected = pytest.approx(Sampled(before.rounds).quantile(q), rel=2e-3)
            assert Sampled(after.rounds).quantile(q) == expected


def test_report_and_plots_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables name the contenders and the targets; each picture is there in both forms."""
    made = small_results()
    console = Console(width=300)
    report.show(made, [kind() for kind in MEASURES], console)
    report.show_targets(targets.judge(made), console)
    out = capsys.readouterr().out
    for text in ("second floor", "p99.9", "Fan-out", "handles", STALLED, "To reach"):
        assert text in out
    paths = plots.plot(made, tmp_path)
    assert {p.name for p in paths} == {
        f"{name}.{kind}"
        for name in ("latency", "burst", "fan-out")
        for kind in ("svg", "png")
    }
    for path in paths:
        begin = b"\x89PNG" if path.suffix == ".png" else b"<?xml"
        assert path.read_bytes().startswith(begin)


def test_every_contender_is_found_by_its_name() -> None:
    """A name and a loop mean one contender."""
    for kind in ALL:
        for loop in kind.loops:
            assert find(kind.name, loop) is kind


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=5 * limit(),
        check=False,
    )


def test_command_measures_and_compares(tmp_path: Path) -> None:
    """A run is saved, drawn, reported, and compared with itself: nothing changed."""
    file, pictures = str(tmp_path / "run.json"), tmp_path / "pictures"
    made = command(
        *("fan-out", "--quick", "--rounds", "5"), *("--json", file, "--plot", str(pictures))
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert "Fan-out" in made.stdout
    assert "Dispatch" not in made.stdout
    assert (pictures / "fan-out.svg").exists()
    assert {len(row.rounds) for row in results.load(Path(file)).rows} == {5}
    same = command("--load", file, "--compare", file)
    assert (same.returncode, same.stderr) == (0, "")
    assert "slower" not in same.stdout


@pytest.mark.parametrize("contender", ["aioteredo", "floor"])
def test_command_fails_where_nothing_can_be_compared(
    tmp_path: Path, contender: str
) -> None:
    """Too few rounds, or nothing of aioteredo's, is no pass."""
    cells = [Cell("asyncio", "python", name) for name in ("floor", contender)]
    rows = [Row("latency", cell, "latency", 1, [[1e5]] * 4) for cell in cells]
    path = tmp_path / "it.json"
    results.save(Results(results.about("", 1), rows), path, [Latency()])
    compared = command("--load", str(path), "--compare", str(path))
    assert (compared.returncode, compared.stderr.count("\n")) == (2, 1)
    assert "compared" in compared.stderr


INTERRUPTED = """
import os, signal, sys
from benchmarks import __main__
from benchmarks.apparatus import loops, sources

def pace(self, count, pace=sources.PythonThread.pace):
    os.kill(os.getpid(), signal.SIGINT)
    return pace(self, count)

sources.PythonThread.pace = pace
loops.AVAILABLE = loops.ASYNCIO  # a callback that is posted already would break trio
sys.exit(__main__.main())
"""


@pytest.mark.parametrize(
    ("measure", "kept"), [("latency", set()), ("loaded", set()), ("fan-out", {"stalled"})]
)
def test_interrupted_while_a_callback_is_due(
    tmp_path: Path, measure: str, kept: set[str]
) -> None:
    """Ctrl-C ends it at once; what is finished is reported and kept, exit 130."""
    path = tmp_path / "it.json"
    results.save(Results(results.about("", 1), []), path, [])
    made = subprocess.run(
        [
            *(sys.executable, "-c", INTERRUPTED),
            *("stalled", measure, "--quick", "--json", str(path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=5 * limit(),
        check=False,
    )
    assert (made.returncode, made.stderr) == (130, "")
    assert {row.measure for row in results.load(path).rows} == kept


def slow_down(made: Results) -> None:
    for row in made.rows:
        if row.cell.contender == "aioteredo":
            row.rounds[:] = [[10 * x for x in samples] for samples in row.rounds]


def test_command_fails_where_aioteredo_got_slower(tmp_path: Path) -> None:
    """A regression is named, and exit 3: nothing else ends so."""
    measure = Latency()
    row = [("asyncio", "python", name) for name in ("floor", "aioteredo")]
    rng = random.Random(1)

    def made() -> Results:
        rows = [
            Row(
                "latency",
                Cell(*cell),
                "latency",
                40,
                [[rng.uniform(9e4, 1e5) for _ in range(40)] for _ in range(30)],
            )
            for cell in row
        ]
        return Results(results.about("", 1), rows)

    paths = [str(tmp_path / name) for name in ("old.json", "new.json")]
    for path, change in zip(paths, (lambda _: None, slow_down), strict=True):
        one: Results = made()
        call: Callable[[Results], None] = change
        call(one)
        results.save(one, Path(path), [measure])
    compared = command("--load", paths[1], "--compare", paths[0])
    assert compared.returncode == 3
    assert "slower" in compared.stdout
    assert command("--load", paths[0], "--compare", paths[1]).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-measure",), "no such measure"),
        (("--rounds", "0"), "--rounds: must be 1 or more"),
        (("--load", "/no/such/file"), "No such file"),
        (("--load", str(ROOT / "pyproject.toml")), "benchmarks: "),
    ],
)
def test_wrong_usage_is_said_in_a_word(arguments: tuple[str, ...], message: str) -> None:
    """Wrong arguments exit with 2, and no traceback."""
    wrong = command(*arguments)
    assert wrong.returncode == 2
    assert message in wrong.stderr
    assert "Traceback" not in wrong.stderr
