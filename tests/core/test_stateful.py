"""Random stories of watches, loops and faults, checked against a model of the promises.

The other tests check one situation each. A story draws situations one after the other:
several watches on several loops are opened, read, closed, cancelled and dropped, and at
the same time the client changes and fails, and loops are closed.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .stateful.stories import run_story

# Hypothesis draws only the seed of each story (``use_true_random``). A state machine of
# Hypothesis chooses a rule by the results of the steps before, and some steps are a race,
# so a replay would draw other rules. It also prefers the first choices, opens few watches,
# and has missed a wake-up flag that was never cleared.
SETTINGS = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),  # A story is long and slow.
    # A smaller seed does not make a shorter story, so shrinking would only repeat stories
    # that fail after a long wait.
    phases=[Phase.generate],
)


@pytest.mark.timeout(300)  # The test takes seconds, but minutes on a busy machine.
@settings(SETTINGS, max_examples=30, derandomize=True)
@given(st.randoms(use_true_random=True))
def test_random_stories_keep_the_promises(rng: random.Random) -> None:
    """After each step of a story, each watch is in the state that the model predicts."""
    run_story(rng)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(SETTINGS, max_examples=2000)
@given(st.randoms(use_true_random=True))
def test_many_new_random_stories_keep_the_promises(rng: random.Random) -> None:
    """Each run of this test draws 2,000 stories that no run before it has drawn."""
    run_story(rng)
