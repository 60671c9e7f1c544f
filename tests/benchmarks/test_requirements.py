"""The only test that runs where the benchmarks cannot."""

from __future__ import annotations

from ..support.requirements import require
from .conftest import MISSING


def test_benchmarks_can_run_here() -> None:
    """Their packages are installed, and the platform has all that they use."""
    require("benchmarks", MISSING)
