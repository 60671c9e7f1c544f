"""The program of docs/index.md."""

from __future__ import annotations

import ast
import asyncio
from types import FunctionType

import pytest

from aioteredo import SimulatedBackend

from ..support.documents import block


@pytest.mark.asyncio_loops
async def test_program_gives_the_firewall_each_port(teredo: SimulatedBackend) -> None:
    """The program calls the firewall with each port, and with None."""
    ports: asyncio.Queue[int | None] = asyncio.Queue()

    class Firewall:
        async def replace_teredo_exception(self, port: int | None) -> None:
            ports.put_nowait(port)

    source = block("docs/index.md", "python", "firewall.")
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(source, "docs/index.md", "exec", flags=flags)
    task = asyncio.ensure_future(FunctionType(code, {"firewall": Firewall()})())

    assert await ports.get() is None
    teredo.set_port(5)
    assert await ports.get() == 5

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
