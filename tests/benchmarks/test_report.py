"""Tables and targets."""

from __future__ import annotations

import pytest
from rich.console import Console

from benchmarks.__main__ import MEASURES
from benchmarks.analysis import report, targets
from benchmarks.measures.callback_cost import STALLED
from benchmarks.measures.latency import Latency

from .runs import small_run


def test_run_has_tables_and_targets(capsys: pytest.CaptureFixture[str]) -> None:
    """Each measure of the run is in a table or a target."""
    made = small_run()
    console = Console(width=300)
    report.show_tables(made, [kind() for kind in MEASURES], console)
    report.show_targets(targets.judge(made), console)
    out = capsys.readouterr().out
    for text in ("second floor", "p50", "Fan-out", "handles", STALLED, "Targets"):
        assert text in out


def test_each_target_is_judged_where_the_run_has_its_measure() -> None:
    """A target whose names match no row would disappear without a word."""
    found = {target.description.split()[0] for target in targets.judge(small_run())}
    assert found == {"latency", "burst", "stalled", "callback"}


def test_high_quantile_of_few_samples_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two rounds of ten events have no sample beyond the 99th percentile."""
    report.show_tables(small_run(), [Latency()], Console(width=300))
    assert "p99 |" not in capsys.readouterr().out
