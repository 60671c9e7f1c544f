"""The limit of a test: a test that hangs fails by its name, and the run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import waiting
from .loops import ASYNCIO_LOOPS

# This program has short limits of its own, and one test for each way to hang.
TESTS_THAT_HANG = """
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


def test_hanging_test_fails_by_its_name(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report names each test that hangs, and the line at which it was waiting."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    pytester.makeini(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
        "timeout = 60\nfaulthandler_timeout = 100\n"
        "markers =\n    every_loop\n    asyncio_loops\n"
    )
    pytester.makepyfile(TESTS_THAT_HANG)

    result = pytester.runpytest_subprocess(
        *("-p", "tests.conftest", "-p", "no:randomly", "-p", "no:cacheprovider"),
        timeout=waiting.limit(),
    )

    asyncio_loops = len(ASYNCIO_LOOPS)
    every_loop = asyncio_loops + 1  # and trio
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == 2 * every_loop
    assert outcomes["failed"] == every_loop + asyncio_loops + 1
    result.stdout.fnmatch_lines(
        [
            "*# the line that waits",
            "*TimeoutError: the end of the test: not within 0.5 s",
            "*TimeoutError: no cancellation ended the test within 0.12 s",
            "*TimeoutError: the impossible: not within 0.1 s (*since *test_hangs*)",
            "FAILED *::test_hangs?trio?*",
            "FAILED *::test_cannot_be_cancelled*",
            "FAILED *::test_polls*",
        ]
    )
