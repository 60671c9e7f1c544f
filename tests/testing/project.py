"""The test suite of a user, in a process of its own."""

from __future__ import annotations

import pytest

from ..support.waiting import limit

INI = """
[pytest]
asyncio_mode = {mode}
asyncio_default_fixture_loop_scope = function
"""

EVENTS = """
async def events(teredo):
    async with watch_teredo_port() as events:
        yield events
"""


def run(
    pytester: pytest.Pytester, *args: str, mode: str = "strict", **files: str
) -> pytest.RunResult:
    """Run the test suite of a project that consists of *files*."""
    pytester.makeini(INI.format(mode=mode))
    pytester.makepyfile(**files)
    return pytester.runpytest_subprocess(
        "-W", "error", "-p", "no:cacheprovider", *args, timeout=limit()
    )
