"""The event loops of a story: in the test's thread, or in a thread of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from anyio.from_thread import start_blocking_portal
from anyio.lowlevel import checkpoint

from ...support.loops import ASYNCIO_LOOPS
from ...support.waiting import in_time, limit

T = TypeVar("T")


class OwnThreadLoop:
    """An asyncio loop in the test's thread, which runs only inside of :meth:`run`."""

    runs_on_demand = True

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._runner = asyncio.Runner(loop_factory=factory)
        self._runner.get_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, func: Callable[[], Awaitable[T]]) -> T:
        return self._runner.run(in_time(func, "a step of the story"))

    def start_task(self, func: Callable[[], Any]) -> None:
        async def main() -> None:
            task = asyncio.ensure_future(func())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self.run(main)

    def close(self) -> None:
        self._runner.close()


class OtherThreadLoop:
    """A loop in a thread of its own, which runs all the time."""

    runs_on_demand = False

    def __init__(self, backend: str) -> None:
        self._context = start_blocking_portal(backend)
        self._portal = self._context.__enter__()

    def run(self, func: Callable[[], Awaitable[T]]) -> T:
        return self._portal.start_task_soon(func).result(limit())

    def start_task(self, func: Callable[[], Any]) -> None:
        self._portal.start_task_soon(func)

    def close(self) -> None:
        self._portal.call(self._portal.stop, True)
        self._context.__exit__(None, None, None)


Loop = OwnThreadLoop | OtherThreadLoop

LOOPS: dict[str, Callable[[], Loop]] = {
    "asyncio elsewhere": partial(OtherThreadLoop, "asyncio"),
    "trio elsewhere": partial(OtherThreadLoop, "trio"),
    **{name: partial(OwnThreadLoop, factory) for name, factory in ASYNCIO_LOOPS.items()},
}


async def let_others_run(times: int = 4) -> None:
    for _ in range(times):
        await checkpoint()
