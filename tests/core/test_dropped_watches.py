"""Watches that are dropped without being closed."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
from functools import partial

import anyio
import pytest
import trio
from anyio import ClosedResourceError, wait_all_tasks_blocked

from aioteredo import PortEvent, SimulatedBackend, _registration, watch_teredo_port
from aioteredo._mailbox import Mailbox

from ..native import StandIn
from ..support.kinds import Kind
from ..support.mailboxes import PortMailbox
from ..support.streams import receive
from ..support.waiting import eventually, in_time, join, limit, start_thread, wait_until

every_loop = pytest.mark.every_loop


def test_callbacks_after_the_loop_was_closed_raise_nothing(
    stand_in: StandIn, unraisable: list[sys.UnraisableHookArgs]
) -> None:
    """Dropping the watch then warns, and the reaper cancels."""
    loop = asyncio.new_event_loop()
    watch = watch_teredo_port(backend=stand_in.backend)
    events = loop.run_until_complete(watch.__aenter__())
    stand_in.start(1, -1)
    loop.run_until_complete(in_time(partial(receive, events, 10), "ten events"))
    loop.close()
    before = stand_in.called
    wait_until(lambda: stand_in.called >= before + 1000, "a thousand callbacks")
    stand_in.join()

    with pytest.warns(ResourceWarning, match="unclosed"):
        del watch, events
        gc.collect()

    wait_until(lambda: not stand_in.live, "the registration is cancelled")
    assert not unraisable


@every_loop
async def test_dropped_watch_warns_and_is_cancelled(stand_in: StandIn) -> None:
    """Dropping the watch does not wait for a callback; the reaper does."""
    watch = watch_teredo_port(backend=stand_in.backend)
    events = await watch.__aenter__()
    stand_in.hold(True)
    stand_in.start(7, 1)
    stand_in.wait_in_flight()

    with pytest.warns(ResourceWarning, match=r"unclosed .*PortEventStream"):
        del watch, events  # This returns while the callback is in flight.
        gc.collect()

    stand_in.hold(False)
    await eventually(lambda: stand_in.live == 0, "the registration is cancelled")

    assert stand_in.cancelled == 1


@every_loop
async def test_warning_names_the_stream_and_the_call_that_opened_it(
    client: SimulatedBackend, kind: Kind
) -> None:
    """The user finds the ``async with`` that is missing."""
    text = f"unclosed .*{kind.stream_class.__name__} .*block of {kind.watch.__name__}\\(\\)"
    watch = kind.watch(backend=client)
    events = await watch.__aenter__()

    with pytest.warns(ResourceWarning, match=text):
        del watch, events
        gc.collect()

    await eventually(lambda: client.subscriber_count == 0, "the registration is cancelled")


@every_loop
async def test_watch_dropped_by_its_own_callback_is_cancelled(stand_in: StandIn) -> None:
    """The collector may destroy the watch on the notifying thread."""
    watch = watch_teredo_port(backend=stand_in.backend)
    events = await watch.__aenter__()
    cycle: list[object] = [watch, events]
    cycle.append(cycle)
    caught: list[warnings.WarningMessage] = []
    original = Mailbox.push

    def push(self: PortMailbox, port: int | None, kind: int) -> None:
        # The notifying thread catches its own warning. On free-threaded builds warning
        # filters belong to a context, and this thread does not have the test's context.
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            gc.collect()
        caught.extend(seen)
        original(self, port, kind)

    gc.disable()
    try:
        del watch, events, cycle
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Mailbox, "push", push)
            stand_in.change(5)
    finally:
        gc.enable()

    assert [w.category for w in caught] == [ResourceWarning]
    await eventually(lambda: stand_in.live == 0, "the registration is cancelled")

    assert stand_in.cancelled == 1


def test_loop_that_ends_leaves_the_watch_of_another_loop_alone(stand_in: StandIn) -> None:
    """A watch on the loop of another thread goes on."""
    opened = threading.Barrier(2)
    closed = threading.Event()
    received: list[PortEvent] = []

    async def short() -> None:
        async with watch_teredo_port(backend=stand_in.backend) as events:
            opened.wait(limit())
            await events.receive()

    async def long() -> None:
        async with watch_teredo_port(backend=stand_in.backend) as events:
            opened.wait(limit())
            received.append(await events.receive())
            await anyio.to_thread.run_sync(closed.wait, limit())
            stand_in.change(2)
            received.append(await events.receive())

    first = start_thread(lambda: asyncio.run(in_time(short, "the first loop's end")))
    second = start_thread(lambda: trio.run(in_time, long, "the second loop's end"))
    wait_until(lambda: stand_in.live == 2, "two registrations")
    stand_in.change(1)
    join(first)
    closed.set()
    join(second)

    assert received == [PortEvent(1), PortEvent(2)]


def test_stream_closed_without_a_running_loop_is_cancelled_by_the_reaper(
    stand_in: StandIn,
) -> None:
    """A destroyed coroutine can close a stream in its ``finally`` block."""
    loop = asyncio.new_event_loop()
    events = loop.run_until_complete(
        watch_teredo_port(backend=stand_in.backend).__aenter__()
    )
    loop.close()
    with pytest.raises(RuntimeError):
        events.aclose().send(None)
    wait_until(lambda: not _registration._subscriptions, "the registration is cancelled")

    assert (stand_in.live, stand_in.cancelled) == (0, 1)


@every_loop
async def test_destroyed_task_leaves_the_block_without_awaiting(
    client: SimulatedBackend,
) -> None:
    """A task that is destroyed in the block must not await, so the reaper cancels."""
    streams = watch_teredo_port(backend=client)
    events = await streams.__aenter__()
    coroutine_exit = streams.__aexit__(GeneratorExit, GeneratorExit(), None)
    with pytest.raises(StopIteration):
        coroutine_exit.send(None)  # The coroutine ends without suspending.
    await eventually(lambda: client.subscriber_count == 0, "the registration is cancelled")
    with pytest.raises(ClosedResourceError):
        await events.receive()


@every_loop
async def test_closed_watch_is_dropped_without_a_warning(client: SimulatedBackend) -> None:
    """The finalizer of a closed stream has nothing to do."""
    async with watch_teredo_port(backend=client) as events:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del events
        gc.collect()


@every_loop
async def test_task_that_waits_for_an_event_of_a_dropped_stream_is_woken(
    client: SimulatedBackend,
) -> None:
    """The coroutine of ``anext()`` does not hold the stream, so the task must be woken."""
    watch = watch_teredo_port(backend=client)
    event = anext(await watch.__aenter__())

    async def wait() -> None:
        with pytest.raises(ClosedResourceError):
            await event

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await wait_all_tasks_blocked()
        with pytest.warns(ResourceWarning, match="unclosed"):
            del watch
            gc.collect()
