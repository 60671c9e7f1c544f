"""Collect the tests of the benchmarks where the benchmarks can run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ..native import StandIn

try:
    import benchmarks.__main__  # noqa: F401 - it imports all that the benchmarks need
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] in ("aioteredo", "benchmarks", "tests"):
        raise
    MISSING: str | None = f"the group bench is not installed: {error}"
else:
    MISSING = "the benchmarks do not run on Windows" if sys.platform == "win32" else None

# The other modules would fail at their first import. test_requirements.py says why none of
# them ran, and fails where the benchmarks are required.
collect_ignore = [
    path.name
    for path in Path(__file__).parent.glob("test_*.py")
    if MISSING is not None and path.name != "test_requirements.py"
]


@pytest.fixture(autouse=True)
def _c_compiler(_stand_in: StandIn) -> None:
    """Skip the test where nothing can build the library of the native thread."""
