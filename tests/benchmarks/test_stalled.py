"""The count of posted handles and kept events while the loop is stalled."""

from __future__ import annotations

import pytest

from benchmarks.apparatus import loops
from benchmarks.apparatus.measure import Setup
from benchmarks.measures.stalled import Stalled


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])
def test_aioteredo_holds_one_handle_and_the_recipe_a_thousand(loop: str) -> None:
    """The recipe shows that the counts see more than one handle."""
    if loop not in loops.AVAILABLE:
        pytest.skip(f"{loop} is not installed")
    held = Stalled().run(Setup(loop, "python", "aioteredo"), 1_000)
    assert (held["handles"], held["events"]) == ([1], [16])
    held = Stalled().run(Setup(loop, "python", "recipe"), 1_000)
    assert (held["handles"], held["events"]) == ([1_000], [1_000])
