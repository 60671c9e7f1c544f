"""The command line."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.apparatus import results
from benchmarks.apparatus.measure import Row, Setup
from benchmarks.apparatus.results import Results
from benchmarks.measures.latency import Latency

from ..support.waiting import limit

# A machine that is busy with other things needs more than the usual time.
pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=5 * limit(),
        check=False,
    )


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "benchmarks", *arguments)


def test_run_is_saved_drawn_and_equal_to_itself(tmp_path: Path) -> None:
    """The saved run has all rounds, and a comparison with itself finds nothing slower."""
    file = str(tmp_path / "run.json")
    pictures = tmp_path / "pictures"
    output = ["--json", file, "--plot", str(pictures)]
    made = command("latency", "--quick", "--rounds", "5", *output)
    assert (made.returncode, made.stderr) == (0, "")
    assert "Dispatch" in made.stdout
    assert "Fan-out" not in made.stdout
    assert (pictures / "latency-dark.svg").exists()
    assert {len(row.rounds) for row in results.load(Path(file)).rows} == {5}

    same = command("--load", file, "--compare", file)
    assert (same.returncode, same.stderr) == (0, "")
    assert "slower" not in same.stdout


def save_latency(path: Path, samples: dict[str, list[Sequence[float]]]) -> str:
    """Save a run of Latency with these rounds of samples of each contender."""
    rows = [
        Row("latency", Setup("asyncio", "python", contender), "latency", 40, rounds)
        for contender, rounds in samples.items()
    ]
    results.save(Results(results.describe_environment("", 1), rows), path, [Latency()])
    return str(path)


@pytest.mark.parametrize("contender", ["aioteredo", "floor"])
def test_comparison_of_nothing_fails(tmp_path: Path, contender: str) -> None:
    """Four rounds are too few, and a run without aioteredo has nothing to compare."""
    rounds: list[Sequence[float]] = [[1e5]] * 4
    path = save_latency(tmp_path / "it.json", {"floor": rounds, contender: rounds})
    compared = command("--load", path, "--compare", path)
    assert (compared.returncode, compared.stderr.count("\n")) == (2, 1)
    assert "compared" in compared.stderr


def test_slower_aioteredo_is_exit_status_3(tmp_path: Path) -> None:
    """The same change in the other direction is a success."""
    generator = random.Random(1)

    def rounds(scale: float) -> list[Sequence[float]]:
        return [[scale * generator.uniform(9e4, 1e5) for _ in range(40)] for _ in range(30)]

    old = save_latency(tmp_path / "old.json", {"floor": rounds(1), "aioteredo": rounds(1)})
    new = save_latency(tmp_path / "new.json", {"floor": rounds(1), "aioteredo": rounds(10)})
    compared = command("--load", new, "--compare", old)
    assert compared.returncode == 3
    assert "slower" in compared.stdout
    assert command("--load", old, "--compare", new).returncode == 0


INTERRUPTED = """
import os, signal, sys
from benchmarks import __main__
from benchmarks.apparatus import loops, sources

def pace(self, count, pace=sources.PythonThread.pace):
    os.kill(os.getpid(), signal.SIGINT)
    return pace(self, count)

sources.PythonThread.pace = pace
loops.AVAILABLE = loops.ASYNCIO  # trio would break if a callback is already posted
sys.exit(__main__.main())
"""


@pytest.mark.parametrize(
    ("measure", "kept"), [("latency", set()), ("loaded", set()), ("fan-out", {"stalled"})]
)
def test_interrupted_run_keeps_the_measures_that_are_finished(
    tmp_path: Path, measure: str, kept: set[str]
) -> None:
    """Ctrl-C while a callback is due ends the run with exit status 130."""
    path = tmp_path / "it.json"
    results.save(Results(results.describe_environment("", 1), []), path, [])
    made = python("-c", INTERRUPTED, "stalled", measure, "--quick", "--json", str(path))
    assert (made.returncode, made.stderr) == (130, "")
    assert {row.measure for row in results.load(path).rows} == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-measure",), "no such measure"),
        (("--rounds", "0"), "--rounds: must be 1 or more"),
        (("--load", "/no/such/file"), "No such file"),
        (("--load", str(ROOT / "pyproject.toml")), "benchmarks: "),
    ],
)
def test_wrong_usage_is_an_error_message(arguments: tuple[str, ...], message: str) -> None:
    """The exit status is 2, and there is no traceback."""
    wrong = command(*arguments)
    assert wrong.returncode == 2
    assert message in wrong.stderr
    assert "Traceback" not in wrong.stderr
