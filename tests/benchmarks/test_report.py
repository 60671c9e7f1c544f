"""Tables and pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.__main__ import MEASURES
from benchmarks.analysis import plots, report, targets
from benchmarks.measures.callback_cost import STALLED

from .runs import small_run


def test_run_has_tables_targets_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each measure of the run is in a table, a target or a picture."""
    made = small_run()
    console = Console(width=300)
    report.show_tables(made, [kind() for kind in MEASURES], console)
    report.show_targets(targets.judge(made), console)
    out = capsys.readouterr().out
    for text in ("second floor", "p99.9", "Fan-out", "handles", STALLED, "Targets"):
        assert text in out

    for path in plots.draw_plots(made, tmp_path):
        begin = b"\x89PNG" if path.suffix == ".png" else b"<?xml"
        assert path.read_bytes().startswith(begin)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{kind}"
        for name in ("latency", "burst", "fan-out")
        for kind in ("svg", "png")
    }


def test_each_target_is_judged_where_the_run_has_its_measure() -> None:
    """A target whose names match no row would disappear without a word."""
    found = {target.description.split()[0] for target in targets.judge(small_run())}
    assert found == {"latency", "burst", "stalled", "callback"}
