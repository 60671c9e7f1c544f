"""The adapter of :mod:`._loop` for trio, imported only in a program that runs trio."""

from __future__ import annotations

from collections.abc import Generator
from types import CoroutineType
from typing import Any, cast

import trio
from trio.lowlevel import Abort, reschedule, wait_task_rescheduled

from ._loop import EventLoop


def trio_loop(token: trio.lowlevel.TrioToken) -> EventLoop:
    """Return the adapter for a trio run."""

    def is_closed() -> bool:
        # A token has no attribute that tells whether its run has finished. An idempotent
        # call is queued once, so many questions in a row wake the run once.
        try:
            token.run_sync_soon(_do_nothing, idempotent=True)
        except trio.RunFinishedError:
            return True
        return False

    return EventLoop(
        native=token,
        checkpoint=trio.lowlevel.checkpoint,
        is_closed=is_closed,
        post=token.run_sync_soon,
        create_waiter=_Waiter,
        resume=_Waiter.resume,
    )


class _Waiter:
    __slots__ = ("_sleep", "_task")

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self._sleep: CoroutineType[Any, Any, Any] | None = None

    def __await__(self) -> Generator[Any, Any, None]:
        sleep = wait_task_rescheduled(self._abort)  # noqa: ASYNC105 - awaited below
        self._sleep = cast("CoroutineType[Any, Any, Any]", sleep)
        return self._sleep.__await__()

    def _abort(self, _: object) -> Abort:
        self._task = None  # trio itself resumes a task that it cancels
        return Abort.SUCCEEDED

    def resume(self) -> None:
        task = self._task
        self._task = None
        if task is None or self._sleep is None:
            return

        # Ctrl-C can end the sleep before trio has suspended the task. By now the task may
        # sleep elsewhere, and rescheduling it would end that other sleep. The coroutine of
        # this sleep is suspended only while the task sleeps in it.
        if self._sleep.cr_suspended:
            reschedule(task)


def _do_nothing() -> None:
    pass
