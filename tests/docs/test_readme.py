"""The Python blocks of README.md, run as they are printed there.

The recipes have their own test modules.
"""

from __future__ import annotations

import ast
import asyncio
from types import FunctionType

import pytest

from aioteredo import SimulatedBackend

from ..support.readme import README, block, blocks
from ..support.waiting import limit


@pytest.mark.asyncio_loops
async def test_first_example_gives_the_firewall_each_port(
    teredo: SimulatedBackend,
) -> None:
    """The first program of the page calls the firewall with each port."""
    ports: asyncio.Queue[int | None] = asyncio.Queue()

    class Firewall:
        async def replace_teredo_exception(self, port: int | None) -> None:
            ports.put_nowait(port)

    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(block("python", "firewall."), README, "exec", flags=flags)
    task = asyncio.ensure_future(FunctionType(code, {"firewall": Firewall()})())

    assert await ports.get() is None
    teredo.set_port(5)
    assert await ports.get() == 5

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_other_examples_pass_in_a_project_of_a_user(pytester: pytest.Pytester) -> None:
    """The service, its test, the async fixture and the conformance suite pass."""
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

    # Two examples are tests. The driver of the example makes no faults, so two rules of
    # the conformance suite are skipped.
    result.assert_outcomes(passed=2 + 11, skipped=2)


def test_every_python_block_is_run() -> None:
    """This module runs five blocks, and test_recipe_sse runs the sixth."""
    assert len(blocks("python")) == 5 + 1
