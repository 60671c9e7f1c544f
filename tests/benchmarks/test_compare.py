"""Verdicts of a comparison of two runs."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.analysis.compare import compare
from benchmarks.apparatus.measure import Row, Setup
from benchmarks.apparatus.results import Results
from benchmarks.measures.idle import Idle

from .runs import RandomMeasure, random_run


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, "noise"), (1.25, "slower"), (0.8, "faster")]
)
def test_change_of_a_quarter_is_told_from_noise(factor: float, verdict: str) -> None:
    """Nearly each of 40 comparisons finds it, and none finds one where nothing changed."""
    verdicts: Counter[str] = Counter()
    for seed in range(40):
        old = random_run(1.0, seed)
        new = random_run(factor, 1_000 + seed)
        changes = compare(new, old, [RandomMeasure(1, 1)])
        verdicts.update(change.verdict for change in changes if "p50" in change.figure)
    assert verdicts[verdict] >= 38
    assert sum(verdicts.values()) == 40


def idle_run(wakeups: float = 0, *, size: int = 1, rounds: int = 5) -> Results:
    """Return a run of Idle whose samples are all the same."""
    samples = {"wake-ups": wakeups, "processor": 1e6}
    return Results(
        {},
        [
            Row("idle", Setup("asyncio", "python", name), metric, size, [[value]] * rounds)
            for name in ("aioteredo", Idle.base)
            for metric, value in samples.items()
        ],
    )


@pytest.mark.parametrize(
    ("new", "wakeups", "processor"),
    [
        pytest.param(idle_run(), "same", "noise", id="the same"),
        pytest.param(idle_run(1), "slower", "noise", id="one wake-up more"),
        pytest.param(idle_run(rounds=2), "same", "fewer than 5 rounds", id="few rounds"),
        pytest.param(
            idle_run(size=2), *["of 1 before, of 2 now"] * 2, id="another amount of work"
        ),
    ],
)
def test_verdict_says_why_a_figure_cannot_be_compared(
    new: Results, wakeups: str, processor: str
) -> None:
    """A count has no interval, so any number of rounds will do."""
    verdicts = {
        change.figure.split(": ")[1].split()[0]: change.verdict
        for change in compare(new, idle_run(), [Idle()])
    }
    assert verdicts == {"wake-ups": wakeups, "processor": processor}
