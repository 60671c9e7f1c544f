"""The adapters for asyncio and trio."""

from __future__ import annotations

import asyncio

import anyio
import pytest
import trio

from aioteredo._loop import EventLoop, current_loop

every_loop = pytest.mark.every_loop


@every_loop
async def test_current_loop_is_the_running_one() -> None:
    """A call that a thread posts runs in the loop of the task that asked."""
    loop, done = current_loop(), anyio.Event()
    await anyio.to_thread.run_sync(loop.post, done.set)
    await done.wait()


def test_current_loop_outside_of_a_loop_raises() -> None:
    """Without a running event loop, anyio's own RuntimeError is raised."""
    with pytest.raises(RuntimeError):
        current_loop()


@every_loop
async def test_two_adapters_of_one_loop_name_the_same_loop() -> None:
    """``native`` tells whether two adapters belong to the same event loop."""
    assert current_loop().native is current_loop().native


async def adapter() -> EventLoop:
    loop = current_loop()
    assert not loop.is_closed()
    return loop


def test_asyncio_loop_is_closed_after_its_end() -> None:
    """An asyncio loop is open while it runs, and closed after ``asyncio.run``."""
    assert asyncio.run(adapter()).is_closed()


def test_trio_run_is_closed_after_its_end() -> None:
    """A trio run is open while it lasts, and closed afterwards."""
    assert trio.run(adapter).is_closed()
