"""A call in a task of its own, which the story can cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import anyio
from anyio import CancelScope

from ...support.waiting import eventually
from .event_loops import Loop, let_others_run


class Cancellation(NamedTuple):
    """The moment and the way in which a call is cancelled."""

    turns: int
    """The turns of other tasks before each cancellation."""

    times: int
    """The number of cancellations."""

    natively: bool
    """Whether ``task.cancel()`` is used on asyncio, rather than a cancel scope."""


class Attempt:
    """A call in a task of its own, and its value or exception."""

    def __init__(self, func: Callable[[], Awaitable[object]]) -> None:
        self._func: Callable[[], Awaitable[object]] | None = func
        self._task: asyncio.Task[Any] | None = None
        self.scope: CancelScope | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = False

    async def run(self) -> None:
        assert self._func is not None
        self._task = current_asyncio_task()

        try:
            # A native cancellation is not caught by the scope.
            with suppress(asyncio.CancelledError), CancelScope() as self.scope:
                try:
                    self.value = await self._func()
                except BaseException as error:
                    # A traceback would keep a watch alive that the story wants to drop.
                    self.error = error.with_traceback(None)
                    if not isinstance(error, Exception):
                        raise
        finally:
            self._func = None
            self.done = True

    async def wait_until_begun(self) -> None:
        await eventually(lambda: self.scope is not None, "a task begins")

    async def wait_until_done(self) -> None:
        await eventually(lambda: self.done, "a task ends")

    def cancel(self, natively: bool) -> None:
        if natively and self._task is not None:
            self._task.cancel()
        elif self.scope is not None:
            self.scope.cancel()

    @property
    def cancelled(self) -> bool:
        return self.error is not None and not isinstance(self.error, Exception)


def run_attempt(
    loop: Loop,
    func: Callable[[], Awaitable[object]],
    cancellation: Cancellation | None,
) -> Attempt:
    """Call *func* in a task of *loop*, cancel it if requested, and wait for its end."""
    attempt = Attempt(func)
    if cancellation is None:
        loop.run(attempt.run)
        return attempt

    async def cancel_repeatedly() -> None:
        await attempt.wait_until_begun()
        for _ in range(cancellation.times):
            await let_others_run(cancellation.turns)
            attempt.cancel(cancellation.natively)

    async def main() -> None:
        if current_asyncio_task() is None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(attempt.run)
                await cancel_repeatedly()
            return

        # Not in a task group: if task.cancel() ends one of its tasks, anyio cancels the
        # whole group, and with it cancel_repeatedly().
        task = asyncio.ensure_future(attempt.run())
        await cancel_repeatedly()
        await asyncio.wait([task])

    loop.run(main)
    assert attempt.done
    return attempt


def current_asyncio_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # trio runs this task
        return None
