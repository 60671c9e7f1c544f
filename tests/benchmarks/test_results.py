"""Saved results."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import MEASURES
from benchmarks.analysis.estimates import Distribution
from benchmarks.apparatus import results

from .runs import small_run


def test_saved_results_load_with_the_same_figures(tmp_path: Path) -> None:
    """A histogram keeps three digits of each sample."""
    made = small_run()
    results.save(made, tmp_path / "it.json", [kind() for kind in MEASURES])
    loaded = results.load(tmp_path / "it.json")
    assert loaded.environment == made.environment
    assert [row[:4] for row in loaded.rows] == [row[:4] for row in made.rows]
    for before, after in zip(made.rows, loaded.rows, strict=True):
        for q in (0.5, 0.99, 1.0):
            expected = pytest.approx(Distribution(before.rounds).quantile(q), rel=2e-3)
            assert Distribution(after.rounds).quantile(q) == expected
