"""What goes wrong between a native callback and an event loop, one test for each.

All of it on native threads and the real ctypes code. Those about the interpreter's exit
and a fork are in test_exit.py, the long counts in test_soak.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest
import trio
from anyio import ClosedResourceError, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from aioteredo import (
    BackendError,
    NotificationType,
    PortEvent,
    PortEventStream,
    _mailbox,
    watch_teredo_port,
)
from aioteredo._mailbox import Mailbox
from aioteredo.backends import iphlpapi

from .native import INLINE, ON_DEMAND, OTHER_THREAD, StandIn
from .waiting import eventually, in_time, join, limit, start_thread, wait_until

every_loop = pytest.mark.every_loop

INITIAL = NotificationType.INITIAL


async def receive(events: PortEventStream, count: int) -> list[PortEvent]:
    return [await events.receive() for _ in range(count)]


@every_loop
async def test_01_change_right_after_registration_is_seen(stand_in: StandIn) -> None:
    """A change between registering and the first look at the stream is received."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.change(1111)
        assert await events.receive() == PortEvent(1111)


@every_loop
async def test_02_initial_port_is_asked_for(stand_in: StandIn) -> None:
    """The initial callback's port 0 is not taken for "no port"."""
    stand_in.set_port(4242)
    async with watch_teredo_port(initial=True, backend=stand_in.backend) as events:
        assert await events.receive() == PortEvent(4242, INITIAL)


@every_loop
@pytest.mark.parametrize("mode", [INLINE, OTHER_THREAD])
async def test_03_initial_before_the_handle_is_written(
    stand_in: StandIn, mode: int
) -> None:
    """An initial callback that comes before Notify returns is received, once."""
    stand_in.set_initial(mode)
    stand_in.set_port(1)
    async with watch_teredo_port(initial=True, backend=stand_in.backend) as events:
        stand_in.change(2)
        assert await receive(events, 2) == [PortEvent(1, INITIAL), PortEvent(2)]
    assert (stand_in.cancelled, stand_in.misused) == (1, 0)


@every_loop
async def test_04_initial_late_or_never_is_made_up_for(stand_in: StandIn) -> None:
    """Without an initial callback there is an initial event; a late one adds none."""
    stand_in.set_initial(ON_DEMAND)
    stand_in.set_port(1)
    async with watch_teredo_port(initial=True, backend=stand_in.backend) as events:
        stand_in.change(2)
        stand_in.fire_initial()
        stand_in.change(3)
        assert await receive(events, 3) == [
            PortEvent(1, INITIAL),
            PortEvent(2),
            PortEvent(3),
        ]


@every_loop
async def test_05_closing_while_a_callback_is_in_flight(stand_in: StandIn) -> None:
    """Closing waits for the callback in flight, which never waits for the loop."""
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
async def test_06_closing_does_not_stall_the_loop(stand_in: StandIn) -> None:
    """Other tasks run while CancelMibChangeNotify2 waits for a callback."""
    beats = 0

    async def heartbeat() -> None:
        nonlocal beats
        for _ in range(100):
            await checkpoint()
            beats += stand_in.live  # 1 while it waits
        stand_in.hold(False)

    async with anyio.create_task_group() as tasks:
        async with watch_teredo_port(backend=stand_in.backend):
            stand_in.hold(True)
            stand_in.start(7, 1)
            stand_in.wait_in_flight()
            tasks.start_soon(heartbeat)
        assert beats == 100


async def cancelled_at(
    moment: str,
    stand_in: StandIn,
    start: Callable[[Callable[[], Awaitable[None]]], object],
    cancel: Callable[[], object],
) -> bool:
    """Cancel a watch while it opens, waits or closes; return whether it left at once."""
    entered, left = anyio.Event(), anyio.Event()

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
    await (wait_all_tasks_blocked() if moment == "opening" else entered.wait())
    if moment == "opening":
        stand_in.wait_in_flight()
    else:
        await wait_all_tasks_blocked()
    cancel()
    for _ in range(10):
        await checkpoint()
        cancel()
    await wait_all_tasks_blocked()  # a cancelled task waits too, and does not spin
    at_once = left.is_set()
    stand_in.hold(False)
    await left.wait()
    return at_once


@every_loop
@pytest.mark.parametrize("moment", ["opening", "waiting", "closing"])
async def test_07_cancelled_by_a_scope_at_each_await(
    stand_in: StandIn, moment: str
) -> None:
    """A cancel scope that ends a watch anywhere leaves one cancel and nothing else."""
    scope = anyio.CancelScope()

    async def run(use: Callable[[], Awaitable[None]]) -> None:
        with scope:
            await use()

    async with anyio.create_task_group() as tasks:
        at_once = await cancelled_at(
            moment, stand_in, lambda use: tasks.start_soon(run, use), scope.cancel
        )
    assert not (at_once and moment != "waiting")
    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)
    assert stand_in.live == 0


@pytest.mark.asyncio_loops
@pytest.mark.parametrize("moment", ["opening", "waiting", "closing"])
async def test_07_cancelled_natively_at_each_await(stand_in: StandIn, moment: str) -> None:
    """``task.cancel()``, however often, leaves one cancel, nothing else, and cancels."""
    tasks: list[asyncio.Task[None]] = []

    def start(use: Callable[[], Awaitable[None]]) -> None:
        tasks.append(asyncio.ensure_future(use()))

    at_once = await cancelled_at(moment, stand_in, start, lambda: tasks[0].cancel())
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert not (at_once and moment != "waiting")
    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)
    assert stand_in.live == 0


def test_09_loop_closed_under_fire(
    stand_in: StandIn, unraisable: list[sys.UnraisableHookArgs]
) -> None:
    """Callbacks that find the loop closed raise nothing and break nothing."""
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
async def test_10_exception_in_the_callback(
    stand_in: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    unraisable: list[sys.UnraisableHookArgs],
) -> None:
    """An exception in our callback ends the stream with it, after what came before."""

    def push(self: Mailbox, port: int | None, notification_type: int) -> None:
        if port == 3:
            raise ZeroDivisionError
        real_push(self, port, notification_type)

    real_push = Mailbox.push
    monkeypatch.setattr(Mailbox, "push", push)
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.change(1, 2, 3, 4)
        assert [event.port for event in await receive(events, 2)] == [1, 2]
        for _ in range(2):
            with pytest.raises(BackendError, match="CALLBACK") as raised:
                await events.receive()
            assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert not unraisable
    assert stand_in.cancelled == 1


@every_loop
async def test_11_callback_is_never_collected(stand_in: StandIn) -> None:
    """The native callback outlives the backend object and every collection."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        for port in range(1, 11):
            gc.collect()
            stand_in.change(port)
        assert [event.port for event in await receive(events, 10)] == [*range(1, 11)]


@every_loop
@pytest.mark.parametrize("mode", [INLINE, OTHER_THREAD, ON_DEMAND])
async def test_12_failure_after_registration_leaks_nothing(
    stand_in: StandIn, mode: int
) -> None:
    """If the initial port cannot be read, ``async with`` raises and cancels."""
    stand_in.set_initial(mode)
    stand_in.fail("GetTeredoPort", 31)
    with pytest.raises(BackendError, match="GetTeredoPort: .*ERROR_GEN_FAILURE"):
        async with watch_teredo_port(initial=True, backend=stand_in.backend):
            pytest.fail("entered")
    assert (stand_in.registered, stand_in.cancelled, stand_in.live) == (1, 1, 0)
    assert not iphlpapi._subscriptions


@every_loop
async def test_13_dropped_unclosed(stand_in: StandIn) -> None:
    """A dropped watch warns, and its registration is cancelled by a thread."""
    watch = watch_teredo_port(backend=stand_in.backend)
    events = await watch.__aenter__()
    stand_in.hold(True)
    stand_in.start(7, 1)
    stand_in.wait_in_flight()
    with pytest.warns(ResourceWarning, match=r"unclosed .*PortEventStream"):
        del watch, events  # returns, though cancelling must wait
        gc.collect()
    stand_in.hold(False)
    await eventually(lambda: stand_in.live == 0, "the registration is cancelled")
    assert stand_in.cancelled == 1


@every_loop
async def test_13_dropped_by_the_notifying_thread(stand_in: StandIn) -> None:
    """A watch whose last reference dies in its own callback is cancelled as well."""
    watch = watch_teredo_port(backend=stand_in.backend)
    events = await watch.__aenter__()
    cycle: list[object] = [watch, events]
    cycle.append(cycle)
    caught: list[warnings.WarningMessage] = []
    original = Mailbox.push

    def push(self: Mailbox, port: int | None, kind: int) -> None:
        # The notifying thread catches its own warning. On free-threaded builds the
        # filters belong to a context, and those of the test's are not known here.
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


@every_loop
@pytest.mark.parametrize("posted", [0, 1])
async def test_14_nobody_reads(stand_in: StandIn, posted: int) -> None:
    """However much arrives while the loop is stalled, the buffer and one handle are held.

    The newest survives. Without a task that waits there is no handle either.
    """
    async with (
        watch_teredo_port(backend=stand_in.backend) as events,
        anyio.create_task_group() as tasks,
    ):
        mailbox = events._mailbox
        received = []

        async def read() -> None:
            received.append(await events.receive())

        if posted:
            tasks.start_soon(read)
        await wait_all_tasks_blocked()
        posts = 0
        wake = mailbox._wake

        def counting() -> bool:
            nonlocal posts
            posts += 1
            return wake()

        mailbox._wake = counting
        stand_in.fire(1, 10_000)
        assert posts == posted
        assert len(mailbox._events) == 16
        await wait_all_tasks_blocked()
        received += await receive(events, 16 - posted)
    assert received[0].missed == 10_000 - 16
    assert received[-1].port == 10_000


@every_loop
async def test_15_there_and_back_again_is_visible(stand_in: StandIn) -> None:
    """A port that changed and changed back is told by ``missed``."""
    async with watch_teredo_port(max_buffer_size=1, backend=stand_in.backend) as events:
        stand_in.change(1)
        assert await events.receive() == PortEvent(1)
        stand_in.change(2, 1)
        assert await events.receive() == PortEvent(1, missed=1)


@every_loop
async def test_16_event_between_the_check_and_the_wait(stand_in: StandIn) -> None:
    """A change in the moment between looking and waiting wakes the consumer."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        mailbox = events._mailbox
        prepare = mailbox._prepare
        late = iter(range(1, 101))

        def prepare_late() -> Awaitable[None]:
            stand_in.change(next(late))  # the deque was empty, the task not yet waiting
            return prepare()

        mailbox._prepare = prepare_late
        received = await receive(events, 100)
    assert [event.port for event in received] == [*range(1, 101)]


@every_loop
@pytest.mark.parametrize("overlapping", [False, True])
async def test_17_order_is_the_systems(
    stand_in: StandIn, overlapping: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event is lost or overtaken, also if the system overlaps its callbacks."""

    def clock() -> int:
        time.sleep(0)  # between numbering and appending, another thread has its chance
        return time.monotonic_ns()

    monkeypatch.setattr(_mailbox, "monotonic_ns", clock)
    async with watch_teredo_port(
        max_buffer_size=10_000, backend=stand_in.backend
    ) as events:
        stand_in.fire(1, 2500, threads=4, overlapping=overlapping)
        received = await receive(events, 10_000)
    assert not any(event.missed for event in received)
    times = [event.monotonic_ns for event in received]
    assert times == sorted(times)
    for first in range(1, 10_001, 2500):
        mine = [e.port for e in received if first <= (e.port or 0) < first + 2500]
        assert mine == [*range(first, first + 2500)]


@every_loop
async def test_18_late_callback_of_an_earlier_watch(stand_in: StandIn) -> None:
    """A callback for a watch that is closed reaches nobody, not even the next watch."""
    async with watch_teredo_port(backend=stand_in.backend):
        pass
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.fire_late(13)
        stand_in.change(14)
        assert await events.receive() == PortEvent(14)


def test_19_two_loops_in_two_threads(stand_in: StandIn) -> None:
    """A loop that closes takes nothing from the one in another thread."""
    opened, closed = threading.Barrier(2), threading.Event()
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


@every_loop
async def test_20_whole_range_of_the_arguments(stand_in: StandIn) -> None:
    """Port 65535, no port, handles above 2**32 and dirty upper bits come through."""
    async with watch_teredo_port(backend=stand_in.backend) as events:
        stand_in.change(65535, 0, 1)
        assert [e.port for e in await receive(events, 3)] == [65535, None, 1]
    assert stand_in.misused == 0  # the handle came back whole


@every_loop
async def test_21_many_foreign_threads(stand_in: StandIn) -> None:
    """The threads that notify leave no trace in ``threading``."""
    async with watch_teredo_port(backend=stand_in.backend):
        before = {*threading.enumerate()}
        stand_in.fire(1, 5, threads=100)
        assert {*threading.enumerate()} <= before


@every_loop
async def test_22_every_worker_thread_is_busy(stand_in: StandIn) -> None:
    """A watch opens and closes while all of anyio's worker threads are taken."""
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
async def test_waiting_task_is_woken_by_closing(stand_in: StandIn) -> None:
    """A task that waits for events gets ClosedResourceError when the watch is closed."""
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
