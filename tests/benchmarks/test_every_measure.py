"""Every contender of every measure is run once, with little to do."""

from __future__ import annotations

import pytest

from benchmarks.apparatus.measure import Measure, Setup
from benchmarks.measures.burst import Burst
from benchmarks.measures.callback_cost import CallbackCost
from benchmarks.measures.fan_out import FanOut
from benchmarks.measures.latency import Latency, LoadedLatency
from benchmarks.measures.open_close import OpenClose
from benchmarks.measures.stalled import Stalled

# A machine that is busy with other things needs more than the usual time.
pytestmark = pytest.mark.timeout(300)


def every_pair() -> list[tuple[Measure, Setup]]:
    pairs: list[tuple[Measure, Setup]] = []
    for measure in (Latency(), CallbackCost(), Burst(), Stalled(), OpenClose()):
        pairs += [(measure, setup) for setup in measure.setups_within(measure.quick.size)]
    fan_out = FanOut()
    pairs += [(fan_out, setup) for setup in fan_out.setups_within(10)]
    # LoadedLatency differs from Latency in nothing but the load, so a few of its setups do.
    loaded = LoadedLatency()
    pairs += [(loaded, setup) for setup in loaded.setups()[:12]]
    return pairs


PAIRS = every_pair()


@pytest.mark.parametrize(
    ("measure", "setup"), PAIRS, ids=["-".join((m.name, *setup)) for m, setup in PAIRS]
)
def test_each_setup_yields_samples_of_each_metric(measure: Measure, setup: Setup) -> None:
    """The measure itself checks that the contender delivered its events."""
    samples = measure.run(setup, 8)
    assert {*samples} == {*measure.metrics}
    for values in samples.values():
        assert values
        assert min(values) >= 0
