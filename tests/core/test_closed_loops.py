"""An event loop that is closed under a watch leaves nothing registered."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from aioteredo import (
    PortEvent,
    PortEventStream,
    SimulatedBackend,
    _registration,
    watch_teredo_port,
)

from ..native import StandIn
from ..support.backends import CountingBackend
from ..support.requirements import FREE_THREADED
from ..support.waiting import in_time, limit, wait_until


@pytest.mark.parametrize("moment", ["opening", "open", "receiving", "closing"])
def test_loop_closed_under_a_suspended_task_leaves_nothing_registered(
    stand_in: StandIn, moment: str, unraisable: list[sys.UnraisableHookArgs]
) -> None:
    """The registration is cancelled once, wherever the task is suspended."""
    loop = asyncio.new_event_loop()
    reached = asyncio.Event()

    async def use() -> None:
        async with watch_teredo_port(initial=True, backend=stand_in.backend) as events:
            await events.receive()
            if moment == "closing":
                stand_in.hold(True)
                stand_in.start(7, 1)
                stand_in.wait_in_flight()

            reached.set()
            if moment == "open":
                await anyio.sleep_forever()
            if moment == "receiving":
                await events.receive()

    async def main() -> None:
        if moment == "opening":
            stand_in.hold(True)
        task = asyncio.ensure_future(use())
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        if moment == "opening":
            await wait_all_tasks_blocked()
            stand_in.wait_in_flight()
        else:
            await reached.wait()
            await wait_all_tasks_blocked()

    loop.run_until_complete(in_time(main, "the moment"))
    loop.close()
    del loop
    gc.collect()
    stand_in.hold(False)
    stand_in.join()
    if moment == "receiving":
        # The wake-up fails because the loop is closed, and then nothing holds the task.
        stand_in.change(5)

    def cancelled() -> bool:
        # Collect repeatedly: the thread that opens the watch holds the task until it ends.
        gc.collect()
        return stand_in.cancelled >= 1 and not _registration._subscriptions

    wait_until(cancelled, "the registration is cancelled")
    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)

    # Without the GIL the collector may finalize the stream before the task. The stream
    # then warns that it is unclosed, which the filters of these tests make an error.
    unclosed = [each for each in unraisable if each.exc_type is ResourceWarning]
    assert len(unclosed) <= FREE_THREADED
    assert all("unclosed" in str(each.exc_value) for each in unclosed)
    assert unraisable == unclosed


def test_task_destroyed_while_opening_leaves_nothing_registered(stand_in: StandIn) -> None:
    """The thread that registers for the task cancels when the task is gone."""
    loop = asyncio.new_event_loop()
    stand_in.hold(True)
    watch = watch_teredo_port(initial=True, backend=stand_in.backend)
    task = loop.create_task(watch.__aenter__())
    loop.run_until_complete(wait_all_tasks_blocked())
    stand_in.wait_in_flight()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    task.get_coro().close()  # The collector destroys a task in this way.
    stand_in.hold(False)
    wait_until(
        lambda: stand_in.cancelled >= 1 and not _registration._subscriptions,
        "the registration is cancelled",
    )
    loop.close()

    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)


def test_loop_closed_before_the_task_is_resumed_is_noticed_by_the_next_watch() -> None:
    """The registration is cancelled at the latest when another watch opens."""
    backend = CountingBackend()
    release = threading.Event()
    backend._on_subscribe = lambda: release.wait(limit())
    loop = asyncio.new_event_loop()
    watch = watch_teredo_port(backend=backend)
    task = loop.create_task(watch.__aenter__())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.run_until_complete(wait_for_a_thread())
    release.set()
    wait_until(lambda: not threads_of_calls(), "the thread has posted its result and ended")
    loop.close()
    assert (backend.subscribed, backend.cancelled) == (1, 0)

    async def another() -> None:
        async with watch_teredo_port(backend=SimulatedBackend()):
            assert backend.cancelled == 1

    asyncio.run(another())
    assert (backend.subscribed, backend.cancelled) == (1, 1)


def threads_of_calls() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "aioteredo"]


async def wait_for_a_thread() -> None:
    while not threads_of_calls():
        await asyncio.sleep(0)


@pytest.mark.parametrize("order", ["event, close", "close, event"])
def test_loop_closed_with_a_wakeup_in_flight_frees_the_task(order: str) -> None:
    """The collector destroys the task, the stream warns, and the reaper cancels."""
    client = SimulatedBackend()
    loop = asyncio.new_event_loop()

    async def open_and_wait() -> asyncio.Task[PortEvent]:
        events = await watch_teredo_port(backend=client).__aenter__()
        task = asyncio.ensure_future(events.receive())
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(open_and_wait())
    if order == "event, close":
        client.set_port(1)
    loop.close()
    if order == "close, event":
        client.set_port(1)

    with pytest.warns(ResourceWarning, match="unclosed"):
        del task, loop
        gc.collect()

    wait_until(lambda: client.subscriber_count == 0, "the registration was cancelled")


def test_loop_closed_without_an_event_is_noticed_by_the_next_watch() -> None:
    """The registration is cancelled when another watch opens."""
    client = SimulatedBackend()
    loop = asyncio.new_event_loop()

    async def open_and_wait() -> PortEventStream:
        events = await watch_teredo_port(backend=client).__aenter__()
        task = asyncio.ensure_future(events.receive())
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return events

    events = loop.run_until_complete(open_and_wait())
    loop.close()
    assert client.subscriber_count == 1

    async def another() -> None:
        async with watch_teredo_port(backend=SimulatedBackend()):
            assert client.subscriber_count == 0

    asyncio.run(another())
    with pytest.warns(ResourceWarning, match="unclosed"):
        del events, loop
        gc.collect()
