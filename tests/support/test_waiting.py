"""The limit of a test: what hangs fails by its name, and the rest of the run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import waiting
from .loops import ASYNCIO_LOOPS

# The module shortens the limit of its own process, and hangs in each way in turn.
HANGING = """
import anyio
import pytest
from tests.support import waiting

waiting.LIMIT, waiting.SHORT_LIMIT = 0.5, 0.1

@pytest.mark.every_loop
async def test_before():
    pass

@pytest.mark.every_loop
async def test_hangs():
    await anyio.sleep_forever()  # the line that waits

@pytest.mark.asyncio_loops
async def test_cannot_be_cancelled():
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()

def test_polls():
    waiting.wait_until(lambda: False, "the impossible")

@pytest.mark.every_loop
async def test_after():
    pass
"""


def test_what_hangs_fails_by_name(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each test that hangs is among the failed ones, with the line that waited."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeini(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
        "timeout = 60\nfaulthandler_timeout = 100\n"
        "markers =\n    every_loop\n    asyncio_loops\n"
    )
    pytester.makepyfile(HANGING)
    result = pytester.runpytest_subprocess(
        *("-p", "tests.conftest", "-p", "no:randomly", "-p", "no:cacheprovider"),
        timeout=waiting.limit(),
    )
    loops = len(ASYNCIO_LOOPS)
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == 2 * (loops + 1)
    assert outcomes["failed"] == (loops + 1) + loops + 1
    result.stdout.fnmatch_lines(
        [
            "*# the line that waits",
            "*TimeoutError: the end of the test: not in 0.5 s",
            "*TimeoutError: no cancellation ended the test in 0.12 s",
            "*TimeoutError: the impossible: not in 0.1 s (short since *test_hangs*)",
            "FAILED *::test_hangs?trio?*",
            "FAILED *::test_cannot_be_cancelled*",
            "FAILED *::test_polls*",
        ]
    )
