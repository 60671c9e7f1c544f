"""``exec`` for its tests: in its own process, or as a task that calls ``follow()``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Final

import anyio
import anyio.to_thread
import pytest

from aioteredo import SimulatedBackend
from aioteredo._cli.exec import follow

from ..support.running import RunningCommand
from ..support.runs import Run, Runs
from ..support.waiting import eventually

PYTHON: Final = repr(sys.executable)
"""The name of CMD in the reports of ``exec``, if CMD is this interpreter."""


def start_exec(running: RunningCommand, runs: Runs, *options: str) -> None:
    """Start ``exec`` with *options*, and with the CMD of *runs*, which gets the port."""
    running.start("exec", *options, "--", *runs.cmd, "{port}")


def skip_where_no_process_starts() -> None:
    """Skip the test on the Selector loop of Windows, which cannot start processes."""
    if sys.platform == "win32":
        with contextlib.suppress(RuntimeError):  # Under trio, no asyncio loop is running.
            if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
                pytest.skip("the Selector loop of Windows starts no processes")


class Follower:
    """A task that calls ``follow()`` with a simulated client."""

    def __init__(self, runs: Runs, group: anyio.abc.TaskGroup, **options: object) -> None:
        self.client = SimulatedBackend()
        self.status: int | None = None
        self._runs = runs
        self._group = group
        self._options = {
            "initial": False,
            "backend": self.client,
            "on_busy": "queue",
            "no_value": None,
            "fail_fast": False,
        } | options

    async def start(self, *arguments: str) -> None:
        """Start the task, and return when it watches the client."""

        async def run() -> None:
            self.status = await follow(arguments, **self._options)  # type: ignore[arg-type]

        self._group.start_soon(run)
        await eventually(lambda: self.client.subscriber_count, "a watch is open")

    async def next(self) -> Run:
        """Wait for the next run of CMD, or of a child of CMD."""
        return await anyio.to_thread.run_sync(self._runs.next)

    async def start_parent(self) -> list[Run]:
        """Start the task, and have CMD run with a child.

        :return: CMD and the child, in the order in which they connect
        """
        await self.start(*self._runs.cmd, "parent", "{port}")
        self.client.set_port(1)
        return [await self.next(), await self.next()]
