"""Every Python block of the README does what it says; the recipes have their own tests."""

from __future__ import annotations

import ast
import asyncio
from types import FunctionType

import pytest

from aioteredo import SimulatedBackend

from ..support.readme import README, block, blocks
from ..support.waiting import limit


@pytest.mark.asyncio_loops
async def test_first_example(teredo: SimulatedBackend) -> None:
    """The firewall is told each port."""
    told: asyncio.Queue[int | None] = asyncio.Queue()

    class Firewall:
        async def replace_teredo_exception(self, port: int | None) -> None:
            told.put_nowait(port)

    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(block("python", "firewall."), README, "exec", flags=flags)
    task = asyncio.ensure_future(FunctionType(code, {"firewall": Firewall()})())
    assert await told.get() is None
    teredo.set_port(5)
    assert await told.get() == 5
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_rest_of_them_in_a_project_of_their_own(pytester: pytest.Pytester) -> None:
    """The service, its test, the async fixture and the contract work as they are."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(
        service=block("python", "async def mirror_teredo_port"),
        test_fixture=block("python", "pytest_asyncio.fixture"),
        test_service=block("python", "from service import"),
        test_contract=block("python", "from my_backend import"),
        my_backend="""
            from aioteredo import SimulatedBackend as MyClient

            def MyBackend(client):
                return client
        """,
    )
    result = pytester.runpytest_subprocess(
        "-W", "error", "-p", "no:cacheprovider", timeout=limit()
    )
    result.assert_outcomes(passed=2 + 11, skipped=2)  # no faults, no rules of them
    assert len(blocks("python")) == 5 + 1, "a block is not run"  # 1: test_recipe_sse
