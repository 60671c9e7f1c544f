"""The count of wake-ups of an idle process."""

from __future__ import annotations

import pytest

from benchmarks.apparatus.contenders import Aioteredo
from benchmarks.apparatus.measure import Setup
from benchmarks.measures.idle import NO_WATCH, Idle

# A machine that is busy with other things needs more than the usual time.
pytestmark = pytest.mark.timeout(300)


def test_polling_wakes_the_process_and_a_watch_does_not() -> None:
    """The system counts the wake-ups, so this needs a second for each contender."""
    wakeups = {
        name: Idle().run(Setup("asyncio", "python", name), 1)["wake-ups"][0]
        for name in (NO_WATCH, Aioteredo.name, Idle.base)
    }
    assert wakeups[Idle.base] > 10 > wakeups[Aioteredo.name]
