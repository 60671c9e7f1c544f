"""Every contender of every measure is run once, with little to do."""

from __future__ import annotations

import pytest

from benchmarks.apparatus.measure import Cell, Measure, Plan, cells_of
from benchmarks.measures.burst import Burst
from benchmarks.measures.callback_cost import CallbackCost
from benchmarks.measures.fan_out import FanOut
from benchmarks.measures.latency import Latency, LoadedLatency
from benchmarks.measures.open_close import OpenClose
from benchmarks.measures.stalled import Stalled

# A machine that is busy with other things needs more than the usual time.
pytestmark = pytest.mark.timeout(300)


def every_pair() -> list[tuple[Measure, Cell]]:
    pairs: list[tuple[Measure, Cell]] = []
    for measure in (Latency(), CallbackCost(), Burst(), Stalled(), OpenClose()):
        pairs += [(measure, cell) for cell in cells_of(measure, measure.quick)]
    fan_out = FanOut()
    pairs += [(fan_out, cell) for cell in cells_of(fan_out, Plan(1, 10))]
    # LoadedLatency differs from Latency in nothing but the load, so a few of its cells do.
    loaded = LoadedLatency()
    pairs += [(loaded, cell) for cell in loaded.cells()[:12]]
    return pairs


PAIRS = every_pair()


@pytest.mark.parametrize(
    ("measure", "cell"), PAIRS, ids=["-".join((m.name, *cell)) for m, cell in PAIRS]
)
def test_each_cell_yields_samples_of_each_metric(measure: Measure, cell: Cell) -> None:
    """The measure itself checks that the contender delivered its events."""
    samples = measure.run(cell, 8)
    assert {*samples} == {*measure.metrics}
    for values in samples.values():
        assert values
        assert min(values) >= 0
