"""The pace of the callbacks in the latency measure."""

from __future__ import annotations

import pytest

from benchmarks.apparatus.contenders import Aioteredo
from benchmarks.apparatus.measure import Cell
from benchmarks.apparatus.sources import GAP, SOURCES, ports
from benchmarks.measures.latency import pace


@pytest.mark.parametrize("case", ["python", "native"])
def test_next_callback_comes_a_gap_after_the_consumer_is_ready(case: str) -> None:
    """Otherwise the loop would not be asleep, and the latency would be too small."""
    cell = Cell("asyncio", case, "aioteredo")
    received, stamps, events = pace(Aioteredo, cell, SOURCES[case](), 8, 0)
    assert [event.port for event in events] == ports(8)
    for before, after in zip(received, stamps.entered[1:], strict=False):
        assert after - before >= GAP
