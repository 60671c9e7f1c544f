"""What differs between asyncio and trio."""

from __future__ import annotations

import asyncio

import anyio
import pytest
import trio

from aioteredo._loop import AsyncioLoop, EventLoop, TrioLoop, current_loop

every_loop = pytest.mark.every_loop


@every_loop
async def test_current_loop_is_the_running_one() -> None:
    """A call posted from a thread runs in the loop of the task that asked."""
    loop, done = current_loop(), anyio.Event()
    await anyio.to_thread.run_sync(loop.threadsafe(done.set))
    with anyio.fail_after(10):
        await done.wait()


def test_outside_a_loop() -> None:
    """Without a running event loop anyio's own RuntimeError is raised."""
    with pytest.raises(RuntimeError):
        current_loop()


async def park(loop: EventLoop) -> None:
    await loop.park()


@every_loop
async def test_unparked_without_need() -> None:
    """Before anybody is suspended and after, there is nobody to resume."""
    loop = current_loop()
    loop.unpark()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(park, loop)
        await anyio.wait_all_tasks_blocked()
        loop.unpark()
        loop.unpark()
    loop.unpark()


@every_loop
async def test_cancelled_while_parked() -> None:
    """A cancelled task leaves the place free, and isn't resumed where it waits next."""
    loop, event, seen = current_loop(), anyio.Event(), []

    async def go_on() -> None:
        with anyio.move_on_after(0):
            await loop.park()
        await event.wait()
        seen.append(event.is_set())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(go_on)
        await anyio.wait_all_tasks_blocked()
        loop.unpark()
        await anyio.wait_all_tasks_blocked()
        event.set()
    assert seen == [True]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(park, loop)
        await anyio.wait_all_tasks_blocked()
        loop.unpark()


def test_post_to_a_closed_asyncio_loop() -> None:
    """A call for a loop that is closed is dropped without a word."""
    loop = asyncio.new_event_loop()
    loop.close()
    assert not AsyncioLoop(loop).threadsafe(pytest.fail)()


def test_post_that_fails_for_another_reason() -> None:
    """Only a closed loop excuses a RuntimeError: else a wake-up would be lost."""

    class Loop(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *args, **kwargs):
            raise RuntimeError("out of order")

    loop = Loop()
    with pytest.raises(RuntimeError, match="out of order"):
        AsyncioLoop(loop).threadsafe(pytest.fail)()
    loop.close()


def test_post_to_a_finished_trio_run() -> None:
    """A call for a trio run that has ended is dropped without a word."""

    async def main() -> TrioLoop:
        return TrioLoop(trio.lowlevel.current_trio_token())

    assert not trio.run(main).threadsafe(pytest.fail)()
