"""Watches open and close without blocking the event loop, and always to the end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio import ClosedResourceError, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from aioteredo import BackendError, PortEvent, SimulatedBackend, watch_teredo_port

from ..native import StandIn
from ..support.waiting import limit

every_loop = pytest.mark.every_loop


@every_loop
async def test_closing_waits_for_a_callback_in_flight(stand_in: StandIn) -> None:
    """The callback never waits for the event loop, so the two do not deadlock."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.hold(True)
        stand_in.start(7, 1)
        assert await events.receive() == PortEvent(7)
        stand_in.wait_in_flight()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(events.aclose)
            await wait_all_tasks_blocked()
            assert stand_in.live == 1
            stand_in.hold(False)

        assert stand_in.live == 0


@every_loop
async def test_other_tasks_run_while_a_watch_closes(stand_in: StandIn) -> None:
    """Other tasks run while CancelMibChangeNotify2 waits for a callback."""
    beats = 0

    async def heartbeat() -> None:
        nonlocal beats
        for _ in range(100):
            await checkpoint()
            beats += stand_in.live  # 1 while the cancelling thread waits
        stand_in.hold(False)

    async with anyio.create_task_group() as tasks:
        async with watch_teredo_port(backend=stand_in.backend):
            stand_in.hold(True)
            stand_in.start(7, 1)
            stand_in.wait_in_flight()
            tasks.start_soon(heartbeat)
        assert beats == 100


async def cancel_use_at(
    moment: str,
    stand_in: StandIn,
    start: Callable[[Callable[[], Awaitable[None]]], object],
    cancel: Callable[[], object],
) -> bool:
    """Cancel a task that uses a watch, and return whether it left the block at once.

    :param moment: the task is "opening" the watch, "waiting" for an event or "closing"
    :param start: starts the task
    :param cancel: cancels the task
    """
    entered = anyio.Event()
    left = anyio.Event()

    async def use() -> None:
        try:
            async with watch_teredo_port(initial=True, backend=stand_in.backend) as events:
                await events.receive()
                if moment == "closing":
                    stand_in.hold(True)
                    stand_in.start(7, 1)
                    stand_in.wait_in_flight()
                    entered.set()
                    return

                entered.set()
                await events.receive()
        finally:
            left.set()

    stand_in.hold(moment == "opening")
    start(use)
    if moment == "opening":
        await wait_all_tasks_blocked()
        stand_in.wait_in_flight()
    else:
        await entered.wait()
        await wait_all_tasks_blocked()

    cancel()
    for _ in range(10):
        await checkpoint()
        cancel()

    # This would not return if the cancelled task were polling instead of waiting.
    await wait_all_tasks_blocked()
    at_once = left.is_set()
    stand_in.hold(False)
    await left.wait()
    return at_once


@every_loop
@pytest.mark.parametrize("moment", ["opening", "waiting", "closing"])
async def test_scope_cancelled_at_any_await_leaves_nothing_registered(
    stand_in: StandIn, moment: str
) -> None:
    """A scope that is cancelled at any await leads to one cancel, and nothing is left."""
    scope = anyio.CancelScope()

    async def run(use: Callable[[], Awaitable[None]]) -> None:
        with scope:
            await use()

    async with anyio.create_task_group() as tasks:
        at_once = await cancel_use_at(
            moment, stand_in, lambda use: tasks.start_soon(run, use), scope.cancel
        )

    if moment != "waiting":
        assert not at_once
    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)
    assert stand_in.live == 0


@pytest.mark.asyncio_loops
@pytest.mark.parametrize("moment", ["opening", "waiting", "closing"])
async def test_task_cancelled_at_any_await_leaves_nothing_registered(
    stand_in: StandIn, moment: str
) -> None:
    """``task.cancel()``, even repeated, leads to one cancel and raises CancelledError."""
    tasks: list[asyncio.Task[None]] = []

    def start(use: Callable[[], Awaitable[None]]) -> None:
        tasks.append(asyncio.ensure_future(use()))

    at_once = await cancel_use_at(moment, stand_in, start, lambda: tasks[0].cancel())
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]

    if moment != "waiting":
        assert not at_once
    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)
    assert stand_in.live == 0


@every_loop
async def test_watch_opens_while_all_worker_threads_are_busy(stand_in: StandIn) -> None:
    """Opening and closing do not need the worker threads of anyio."""
    release = threading.Event()
    async with anyio.create_task_group() as tasks:
        limiter = anyio.to_thread.current_default_thread_limiter()
        for _ in range(int(limiter.total_tokens)):
            tasks.start_soon(anyio.to_thread.run_sync, release.wait, limit())
        await wait_all_tasks_blocked()
        assert not limiter.available_tokens
        async with watch_teredo_port(backend=stand_in.backend):
            pass
        release.set()


@every_loop
async def test_closing_wakes_the_task_that_waits(stand_in: StandIn) -> None:
    """A task that waits for an event gets ClosedResourceError."""
    async with watch_teredo_port(backend=stand_in.backend) as events:

        async def wait() -> None:
            with pytest.raises(ClosedResourceError):
                await events.receive()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await wait_all_tasks_blocked()
            await events.aclose()

    with contextlib.suppress(StopAsyncIteration), pytest.raises(ClosedResourceError):
        await anext(events)


@every_loop
async def test_second_task_that_closes_waits_for_the_first(stand_in: StandIn) -> None:
    """Both tasks return from ``aclose()`` only when no callback runs any more."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.hold(True)
        stand_in.start(7, 1)
        stand_in.wait_in_flight()
        closed = 0

        async def close() -> None:
            nonlocal closed
            await events.aclose()
            closed += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(close)
            tasks.start_soon(close)
            await wait_all_tasks_blocked()
            assert closed == 0
            stand_in.hold(False)

        assert closed == 2

    assert stand_in.cancelled == 1


@every_loop
async def test_second_task_that_closes_waits_even_if_its_scope_is_cancelled(
    stand_in: StandIn,
) -> None:
    """A cancelled task leaves ``aclose()`` only when no callback runs any more."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.hold(True)
        stand_in.start(7, 1)
        stand_in.wait_in_flight()
        left = []

        async def close(scope: anyio.CancelScope) -> None:
            with scope:
                await events.aclose()
            left.append(stand_in.live)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(close, anyio.CancelScope())
            await wait_all_tasks_blocked()
            tasks.start_soon(close, scope := anyio.CancelScope())
            await wait_all_tasks_blocked()
            scope.cancel()
            await wait_all_tasks_blocked()
            assert not left
            stand_in.hold(False)

        assert left == [0, 0]


@pytest.mark.asyncio_loops
async def test_second_task_that_closes_waits_even_if_it_is_cancelled(
    stand_in: StandIn,
) -> None:
    """After ``task.cancel()`` the task waits for the first one, and then raises."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.hold(True)
        stand_in.start(7, 1)
        stand_in.wait_in_flight()
        first = asyncio.ensure_future(events.aclose())
        second = asyncio.ensure_future(events.aclose())
        await wait_all_tasks_blocked()
        second.cancel()
        await wait_all_tasks_blocked()
        assert not second.done()
        stand_in.hold(False)
        await first
        with pytest.raises(asyncio.CancelledError):
            await second


@every_loop
async def test_other_tasks_run_while_a_watch_opens(stand_in: StandIn) -> None:
    """Other tasks run while NotifyTeredoPortChange blocks."""
    stand_in.hold(True)

    async def release() -> None:
        for _ in range(100):
            await checkpoint()
        stand_in.hold(False)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(release)
        async with watch_teredo_port(initial=True, backend=stand_in.backend):
            pass


@every_loop
async def test_failure_to_cancel_is_raised_and_the_stream_is_closed(
    client: SimulatedBackend,
) -> None:
    """If the system refuses to cancel, the block raises, and the stream is closed."""
    client.fail_next_cancel(error := BackendError("CancelMibChangeNotify2", 87))
    with pytest.raises(BackendError) as raised:
        async with watch_teredo_port(backend=client) as events:
            pass

    assert raised.value is error
    with pytest.raises(ClosedResourceError):
        await events.receive()


@every_loop
async def test_failure_to_cancel_is_a_note_on_the_users_exception(
    client: SimulatedBackend,
) -> None:
    """The exception that leaves the block is not replaced, but gets a note."""
    client.fail_next_cancel(BackendError("CancelMibChangeNotify2", 87))
    with pytest.raises(ZeroDivisionError) as raised:
        async with watch_teredo_port(backend=client):
            raise ZeroDivisionError
    assert "ERROR_INVALID_PARAMETER" in raised.value.__notes__[0]


@pytest.mark.asyncio_loops
async def test_failure_to_cancel_does_not_hide_a_cancellation(
    client: SimulatedBackend,
) -> None:
    """CancelledError is raised, and the failure to cancel is its cause."""
    client.fail_next_cancel(BackendError("CancelMibChangeNotify2", 87))

    async def use() -> None:
        async with watch_teredo_port(backend=client):
            task.cancel()

    task = asyncio.ensure_future(use())
    with pytest.raises(asyncio.CancelledError) as raised:
        await task

    assert isinstance(raised.value.__cause__, BackendError)
