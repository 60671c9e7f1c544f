"""The pace of the callbacks in the latency measure."""

from __future__ import annotations

import pytest

from benchmarks.apparatus.contenders import Aioteredo
from benchmarks.apparatus.measure import Setup
from benchmarks.apparatus.sources import IDLE_GAP, SOURCES, port_sequence
from benchmarks.measures.latency import run_paced


@pytest.mark.parametrize("case", ["python", "native"])
def test_next_callback_comes_a_gap_after_the_consumer_is_ready(case: str) -> None:
    """Otherwise the loop would not be asleep, and the latency would be too small."""
    setup = Setup("asyncio", case, "aioteredo")
    received, stamps, events = run_paced(Aioteredo, setup, SOURCES[case](), 8, 0)
    assert [event.port for event in events] == port_sequence(8)
    for before, after in zip(received, stamps.entered[1:], strict=False):
        assert after - before >= IDLE_GAP
