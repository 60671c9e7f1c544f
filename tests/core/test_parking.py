"""A task sleeps until any thread wakes it."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType

import anyio
import pytest
import trio
import trio.testing
from anyio import wait_all_tasks_blocked

from aioteredo._loop import current_loop
from aioteredo._parking import ParkingSpot

every_loop = pytest.mark.every_loop


async def sleep_in(spot: ParkingSpot) -> None:
    await spot.prepare()


@every_loop
async def test_wake_resumes_a_sleeping_task_once() -> None:
    """Further calls of ``wake`` find no waiter and do nothing."""
    spot = ParkingSpot(current_loop())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleep_in, spot)
        await wait_all_tasks_blocked()
        assert spot.wake()
        assert not spot.waiters
        assert spot.wake()


@every_loop
async def test_wake_without_a_waiter_posts_nothing() -> None:
    """A task that has not prepared looks for an event before it sleeps."""
    spot = ParkingSpot(replace(current_loop(), post=pytest.fail))
    assert spot.wake()


@every_loop
async def test_wake_between_preparing_and_sleeping_is_not_lost() -> None:
    """A wake-up after ``prepare`` ends the sleep that begins after it."""
    spot = ParkingSpot(current_loop())
    waiter = spot.prepare()
    spot.wake()
    await waiter


@every_loop
async def test_wake_for_a_cancelled_sleep_does_not_end_the_next_wait() -> None:
    """The posted call finds that its sleep has ended, and leaves the task alone."""
    spot = ParkingSpot(current_loop())
    event = anyio.Event()
    seen = []

    async def cancelled_and_then_waiting(scope: anyio.CancelScope) -> None:
        with scope:
            await spot.prepare()
        await event.wait()
        seen.append(event.is_set())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancelled_and_then_waiting, scope := anyio.CancelScope())
        await wait_all_tasks_blocked()
        scope.cancel()
        spot.wake()
        await wait_all_tasks_blocked()
        assert not seen
        event.set()

    assert seen == [True]


@every_loop
async def test_sleep_after_a_cancelled_one_is_woken() -> None:
    """The waiter of the cancelled sleep does not take the wake-up of the next one."""
    spot = ParkingSpot(current_loop())
    with anyio.move_on_after(0):
        await spot.prepare()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleep_in, spot)
        await wait_all_tasks_blocked()
        spot.wake()


@every_loop
async def test_spot_holds_one_waiter() -> None:
    """The waiter of a sleep that an exception has ended is not kept."""
    spot = ParkingSpot(current_loop())
    for _ in range(3):
        with anyio.move_on_after(0):
            await spot.prepare()
    assert len(spot.waiters) == 1


@every_loop
@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, RuntimeError])
async def test_wake_after_a_failed_wake_resumes_the_task(
    error: type[BaseException],
) -> None:
    """An exception while posting is raised, and the next call wakes the task.

    A RuntimeError of a loop that is open is not mistaken for a closed loop.
    """
    loop = current_loop()
    errors = iter([error])

    def post(*args: object) -> None:
        for error in errors:
            raise error
        loop.post(*args)

    spot = ParkingSpot(replace(loop, post=post))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sleep_in, spot)
        await wait_all_tasks_blocked()
        with pytest.raises(error):
            spot.wake()
        assert spot.wake()


def sleeper_in_a_closed_loop(
    before_closing: Callable[[ParkingSpot], object],
) -> tuple[ParkingSpot, weakref.ref[asyncio.Task[None]]]:
    loop = asyncio.new_event_loop()

    async def start() -> tuple[ParkingSpot, asyncio.Task[None]]:
        spot = ParkingSpot(current_loop())
        task = asyncio.ensure_future(sleep_in(spot))
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return spot, task

    spot, task = loop.run_until_complete(start())
    before_closing(spot)
    loop.close()
    return spot, weakref.ref(task)


def test_wake_after_the_loop_was_closed_returns_false_and_frees_the_task() -> None:
    """Nothing holds the suspended task any more, so the collector destroys it."""
    spot, task = sleeper_in_a_closed_loop(lambda spot: None)
    gc.collect()
    assert task() is not None
    assert spot.wake() is False
    gc.collect()
    assert task() is None


def test_loop_closed_with_a_wakeup_in_flight_frees_the_task() -> None:
    """Only the posted call holds the task, and a closed loop drops the call."""
    spot, task = sleeper_in_a_closed_loop(lambda spot: spot.wake())
    gc.collect()
    assert task() is None
    assert not spot.waiters


def test_wake_after_a_trio_run_has_finished_returns_false() -> None:
    """A finished run can leave a waiter behind."""

    async def main() -> ParkingSpot:
        spot = ParkingSpot(current_loop())
        spot.prepare()
        return spot

    assert trio.run(main).wake() is False


@pytest.fixture
def ctrl_c_before_the_next_sleep() -> Iterator[Callable[[], None]]:
    """Return a function that has SIGINT raised as trio is about to suspend a task."""

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name == "wait_task_rescheduled":
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: sys.setprofile(profile)
    sys.setprofile(None)
    signal.signal(signal.SIGINT, before)


def test_wake_for_a_sleep_that_ctrl_c_prevented_leaves_the_task_alone(
    ctrl_c_before_the_next_sleep: Callable[[], None],
) -> None:
    """The task waits for something else by then, and goes on to wait."""

    async def main() -> None:
        spot = ParkingSpot(current_loop())
        send, receive = trio.open_memory_channel[str](0)
        ctrl_c_before_the_next_sleep()
        with pytest.raises(KeyboardInterrupt):
            await spot.prepare()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wake_then_send, spot, send)
            assert await receive.receive() == "sent"

    async def wake_then_send(spot: ParkingSpot, send: trio.MemorySendChannel[str]) -> None:
        await trio.testing.wait_all_tasks_blocked()
        spot.wake()
        await trio.testing.wait_all_tasks_blocked()
        await send.send("sent")

    trio.run(main)


def test_wake_for_a_task_that_does_not_sleep_is_ignored() -> None:
    """On trio, a task that found its event at the second look is not rescheduled."""

    async def main() -> None:
        spot = ParkingSpot(current_loop())
        spot.prepare()
        spot.wake()
        await trio.testing.wait_all_tasks_blocked()

    trio.run(main)
