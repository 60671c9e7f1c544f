"""The adapters for asyncio and trio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import anyio
import pytest
import trio

from aioteredo._loop import EventLoop, current_loop

every_loop = pytest.mark.every_loop


@every_loop
async def test_call_that_a_thread_posts_runs_in_the_loop_of_the_task() -> None:
    """``current_loop()`` is the adapter for the loop that runs the calling task."""
    loop = current_loop()
    done = anyio.Event()
    await anyio.to_thread.run_sync(loop.post, done.set)
    await done.wait()


def test_current_loop_outside_of_a_loop_raises() -> None:
    """Without a running event loop, RuntimeError is raised."""
    with pytest.raises(RuntimeError):
        current_loop()


@every_loop
async def test_two_adapters_of_one_loop_have_the_same_native_loop() -> None:
    """The registrations of a loop are found by ``native``."""
    assert current_loop().native is current_loop().native


@every_loop
async def test_waiter_that_two_calls_resume_is_resumed_once() -> None:
    """Two threads may post a call for one sleep; the second call has no effect."""
    loop, done = current_loop(), anyio.Event()
    waiter = loop.create_waiter()
    loop.post(loop.resume, waiter)
    loop.post(loop.resume, waiter)
    loop.post(done.set)
    await waiter
    await done.wait()


@every_loop
async def test_waiter_whose_task_was_just_cancelled_is_not_resumed() -> None:
    """A call for a sleep that a cancellation has ended has no effect."""
    loop = current_loop()
    waiters: list[Awaitable[None]] = []

    async def sleep(scope: anyio.CancelScope) -> None:
        with scope:
            waiters.append(loop.create_waiter())
            await waiters[0]

    scope = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleep, scope)
        await anyio.wait_all_tasks_blocked()
        scope.cancel()
        loop.resume(waiters[0])  # before the task has run


async def adapter() -> EventLoop:
    loop = current_loop()
    assert not loop.is_closed()
    return loop


def test_asyncio_loop_is_closed_after_its_end() -> None:
    """The loop is open while it runs, and closed after ``asyncio.run``."""
    assert asyncio.run(adapter()).is_closed()


def test_trio_run_is_closed_after_its_end() -> None:
    """The run is open while it lasts, and closed afterwards."""
    assert trio.run(adapter).is_closed()
