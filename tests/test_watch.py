"""The promises of a watch, on the real ctypes code where it matters."""

from __future__ import annotations

import _thread
import asyncio
import copy
import dataclasses
import gc
import pickle
import sys
import warnings
from collections.abc import Callable, Generator

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
    SimulatedBackend,
    _registration,
    get_teredo_port,
    watch_teredo_port,
)

from .native import StandIn
from .requirements import FREE_THREADED
from .waiting import eventually, in_time, join, start_thread, wait_until

every_loop = pytest.mark.every_loop


@pytest.fixture
def client() -> Generator[SimulatedBackend]:
    with SimulatedBackend(1000) as client:
        yield client


@every_loop
async def test_iteration(client: SimulatedBackend) -> None:
    """``async for`` yields each change, and the initial port if asked for."""
    seen = []
    async with watch_teredo_port(initial=True, backend=client) as events:
        client.set_port(2000)
        client.stop()
        async for event in events:
            seen.append((event.port, event.notification_type))
            if event.port is None:
                break
    assert seen == [
        (1000, NotificationType.INITIAL),
        (2000, NotificationType.PARAMETER),
        (None, NotificationType.PARAMETER),
    ]


def test_forgotten_async_with(client: SimulatedBackend) -> None:
    """A watch cannot be iterated: a forgotten ``async with`` fails at once."""
    watch = watch_teredo_port(backend=client)
    assert not hasattr(watch, "__aiter__")
    assert not hasattr(watch, "receive")


@pytest.mark.parametrize("size", [0, -1, sys.maxsize + 1])
def test_buffer_size_out_of_range(size: int) -> None:
    """A buffer size that makes no sense is refused by name, before anything is done."""
    with pytest.raises(ValueError, match=f"max_buffer_size .* not {size}"):
        watch_teredo_port(max_buffer_size=size)


@pytest.mark.parametrize("size", [None, "16", 1.5])
def test_buffer_size_of_a_wrong_type(size: object) -> None:
    """A buffer size that is no integer is refused by name."""
    with pytest.raises(TypeError, match="max_buffer_size must be an integer"):
        watch_teredo_port(max_buffer_size=size)  # type: ignore[arg-type]


@every_loop
async def test_latest_value_only(client: SimulatedBackend) -> None:
    """With a buffer of one, the stream holds the latest event."""
    async with watch_teredo_port(initial=True, max_buffer_size=1, backend=client) as events:
        client.burst([1, 2, None, 4])
        assert await events.receive() == PortEvent(4, missed=4)


@every_loop
async def test_after_the_block(client: SimulatedBackend) -> None:
    """After the block every way to receive raises, though events were waiting."""
    async with watch_teredo_port(initial=True, backend=client) as events:
        pass
    assert client.subscriber_count == 0
    for receive in (events.receive, events.__anext__):
        with pytest.raises(ClosedResourceError):
            await receive()
    with pytest.raises(ClosedResourceError):
        async for _ in events:
            pytest.fail("an event")


@every_loop
async def test_closed_within_the_block(client: SimulatedBackend) -> None:
    """``aclose`` may come first, and again; the block is left as usual."""
    async with watch_teredo_port(backend=client) as events:
        await events.aclose()
        assert client.subscriber_count == 0
        await events.aclose()


@every_loop
async def test_closed_by_two_tasks(stand_in: StandIn) -> None:
    """Who closes second waits as well until no callback runs any more."""
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
async def test_second_closer_is_cancelled(stand_in: StandIn) -> None:
    """Cancelled or not, who closes second leaves when no callback runs any more."""
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
async def test_second_closer_is_cancelled_natively(stand_in: StandIn) -> None:
    """The same with ``task.cancel()``, which is not forgotten."""
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


def test_closing_outside_of_the_loop(stand_in: StandIn) -> None:
    """A destroyed coroutine that closes in its ``finally`` leaves it to a thread."""
    loop = asyncio.new_event_loop()
    events = loop.run_until_complete(
        watch_teredo_port(backend=stand_in.backend).__aenter__()
    )
    loop.close()
    with pytest.raises(RuntimeError):
        events.aclose().send(None)
    wait_until(lambda: not _registration._live, "the registration is cancelled")
    assert (stand_in.live, stand_in.cancelled) == (0, 1)


@every_loop
async def test_cancelled_before_it_begins(client: SimulatedBackend) -> None:
    """A scope that is cancelled already registers nothing and asks nothing."""
    for function in (
        watch_teredo_port(backend=client).__aenter__,
        lambda: get_teredo_port(backend=client),
    ):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await function()
        assert scope.cancelled_caught
    assert client.subscriber_count == 0


@every_loop
async def test_entered_twice(client: SimulatedBackend) -> None:
    """A watch is for one block; another one is asked for by name."""
    watch = watch_teredo_port(backend=client)
    async with watch:
        with pytest.raises(RuntimeError, match="watch_teredo_port"):
            await watch.__aenter__()
    assert client.subscriber_count == 0


@every_loop
async def test_entered_in_one_task_left_in_another(client: SimulatedBackend) -> None:
    """Async fixtures enter in one task and leave in another."""
    watch = watch_teredo_port(backend=client)
    streams: list[PortEventStream] = []

    async def enter() -> None:
        streams.append(await watch.__aenter__())

    async def leave() -> None:
        await watch.__aexit__(None, None, None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
    client.set_port(1)
    assert await streams[0].receive() == PortEvent(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave)
    assert client.subscriber_count == 0


@every_loop
async def test_cancelled_after_being_woken(client: SimulatedBackend) -> None:
    """A task that is cancelled between its wake-up and its turn loses no event."""
    received = []

    async def wait() -> None:
        received.append(await events.receive())

    async with watch_teredo_port(backend=client) as events:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await wait_all_tasks_blocked()
            events._mailbox.push(1, 0)
            tasks.cancel_scope.cancel()
        if not received:  # the loop decides which of the two comes first
            await wait()
    assert received == [PortEvent(1)]


@pytest.mark.asyncio_loops
async def test_cancelled_natively_after_being_woken(client: SimulatedBackend) -> None:
    """``task.cancel()`` loses no event either."""
    async with watch_teredo_port(backend=client) as events:
        task = asyncio.ensure_future(events.receive())
        await wait_all_tasks_blocked()
        events._mailbox.push(1, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await events.receive() == PortEvent(1)


@every_loop
async def test_stream_of_a_watch_that_could_not_be_entered(
    client: SimulatedBackend,
) -> None:
    """It is closed, so that it never warns of a stream that nobody has had."""
    client.fail_next_subscribe(BackendError("NotifyTeredoPortChange", 8))
    watch = watch_teredo_port(backend=client)
    with pytest.raises(BackendError):
        await watch.__aenter__()
    with pytest.raises(ClosedResourceError):
        await watch._stream.receive()  # type: ignore[attr-defined]


@every_loop
async def test_start_fails(client: SimulatedBackend) -> None:
    """A backend that fails on start raises from ``async with``; nothing is left."""
    client.fail_next_subscribe(error := BackendError("NotifyTeredoPortChange", 8))
    with pytest.raises(BackendError) as raised:
        async with watch_teredo_port(backend=client):
            pytest.fail("entered")
    assert raised.value is error
    assert client.subscriber_count == 0


@every_loop
async def test_cancel_fails(client: SimulatedBackend) -> None:
    """A registration that cannot be cancelled raises; the stream is closed anyway."""
    client.fail_next_cancel(error := BackendError("CancelMibChangeNotify2", 87))
    with pytest.raises(BackendError) as raised:
        async with watch_teredo_port(backend=client) as events:
            pass
    assert raised.value is error
    with pytest.raises(ClosedResourceError):
        await events.receive()


@every_loop
async def test_cancel_fails_while_something_else_propagates(
    client: SimulatedBackend,
) -> None:
    """A failure to cancel is a note on the exception that leaves the block."""
    client.fail_next_cancel(BackendError("CancelMibChangeNotify2", 87))
    with pytest.raises(ZeroDivisionError) as raised:
        async with watch_teredo_port(backend=client):
            raise ZeroDivisionError
    assert "ERROR_INVALID_PARAMETER" in raised.value.__notes__[0]


@pytest.mark.asyncio_loops
async def test_cancel_fails_while_cancelled(client: SimulatedBackend) -> None:
    """A failure to cancel doesn't hide that the task is cancelled."""
    client.fail_next_cancel(BackendError("CancelMibChangeNotify2", 87))

    async def use() -> None:
        async with watch_teredo_port(backend=client):
            task.cancel()

    task = asyncio.ensure_future(use())
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert isinstance(raised.value.__cause__, BackendError)


@every_loop
async def test_destroyed_task(client: SimulatedBackend) -> None:
    """A task that is destroyed in the block doesn't await; a thread cancels."""
    streams = watch_teredo_port(backend=client)
    events = await streams.__aenter__()
    coroutine_exit = streams.__aexit__(GeneratorExit, GeneratorExit(), None)
    with pytest.raises(StopIteration):
        coroutine_exit.send(None)  # it ended without a suspension
    await eventually(lambda: client.subscriber_count == 0, "the registration is cancelled")
    with pytest.raises(ClosedResourceError):
        await events.receive()


@pytest.mark.parametrize("moment", ["opening", "open", "receiving", "closing"])
def test_loop_closed_and_task_destroyed(
    stand_in: StandIn, moment: str, unraisable: list[sys.UnraisableHookArgs]
) -> None:
    """A loop that is closed under a suspended task leaves nothing registered."""
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
        await (wait_all_tasks_blocked() if moment == "opening" else reached.wait())
        await wait_all_tasks_blocked()
        if moment == "opening":
            stand_in.wait_in_flight()

    loop.run_until_complete(in_time(main, "the moment"))
    loop.close()
    del loop
    gc.collect()
    stand_in.hold(False)
    stand_in.join()
    if moment == "receiving":
        stand_in.change(5)  # finds the loop closed, and lets go of the task

    def cancelled() -> bool:
        gc.collect()  # the thread that opens holds on to the task until it is through
        return stand_in.cancelled >= 1 and not _registration._live

    wait_until(cancelled, "the registration is cancelled")
    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)
    # Without the GIL the collector may finalize the stream before the task. The stream
    # then warns that it is unclosed, which the filters of these tests make an error.
    unclosed = [each for each in unraisable if each.exc_type is ResourceWarning]
    assert len(unclosed) <= FREE_THREADED
    assert all("unclosed" in str(each.exc_value) for each in unclosed)
    assert unraisable == unclosed


def test_task_destroyed_while_opening(stand_in: StandIn) -> None:
    """The thread that registers for a destroyed task cancels as soon as it is through."""
    loop = asyncio.new_event_loop()
    stand_in.hold(True)
    watch = watch_teredo_port(initial=True, backend=stand_in.backend)
    task = loop.create_task(watch.__aenter__())
    loop.run_until_complete(wait_all_tasks_blocked())
    stand_in.wait_in_flight()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    task.get_coro().close()  # as the collector does it
    stand_in.hold(False)
    wait_until(
        lambda: stand_in.cancelled >= 1 and not _registration._live,
        "the registration is cancelled",
    )
    loop.close()
    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)


def test_interrupted_while_opening(stand_in: StandIn) -> None:
    """Ctrl-C ends trio at once; the thread that registers cancels by itself."""
    stand_in.hold(True)

    async def main() -> None:
        async with watch_teredo_port(initial=True, backend=stand_in.backend):
            pytest.fail("entered")

    def interrupt() -> None:
        stand_in.wait_in_flight()
        _thread.interrupt_main()

    thread = start_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        trio.run(in_time, main, "the interrupt")
    join(thread)
    stand_in.hold(False)
    wait_until(
        lambda: stand_in.cancelled >= 1 and not _registration._live,
        "the registration is cancelled",
    )
    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)


@every_loop
async def test_only_the_stream_is_kept(client: SimulatedBackend) -> None:
    """The stream goes on if only its context manager is dropped."""
    events = await watch_teredo_port(backend=client).__aenter__()
    gc.collect()
    client.set_port(1)
    assert await events.receive() == PortEvent(1)
    await events.aclose()


@every_loop
async def test_dropped_after_closing(client: SimulatedBackend) -> None:
    """A closed watch is dropped without a warning."""
    async with watch_teredo_port(backend=client) as events:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del events
        gc.collect()


@every_loop
async def test_one_shot(client: SimulatedBackend) -> None:
    """``get_teredo_port`` tells the port, and None for none."""
    assert await get_teredo_port(backend=client) == 1000
    client.stop()
    assert await get_teredo_port(backend=client) is None


@every_loop
async def test_many_watches_of_one_client(client: SimulatedBackend) -> None:
    """Each watch gets each event."""
    async with (
        watch_teredo_port(backend=client) as first,
        watch_teredo_port(backend=client) as second,
    ):
        client.set_port(1)
        assert await first.receive() == await second.receive() == PortEvent(1)


@every_loop
async def test_heartbeat_while_opening(stand_in: StandIn) -> None:
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


@dataclasses.dataclass
class State:
    events: object


@every_loop
@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, pickle.dumps, lambda x: dataclasses.asdict(State(x))],
    ids=["copy", "deepcopy", "pickle", "asdict"],
)
async def test_copying_a_stream_is_refused_and_the_watch_goes_on(
    client: SimulatedBackend,
    unraisable: list[sys.UnraisableHookArgs],
    copied: Callable[[object], object],
) -> None:
    """A second object for one registration would close it; TypeError says so at once."""
    watch = watch_teredo_port(backend=client)
    async with watch as events:
        for thing in (events, watch):
            with pytest.raises(TypeError, match=r"cannot be copied .* watch_teredo_port"):
                copied(thing)
        gc.collect()
        client.set_port(1)
        assert await events.receive() == PortEvent(1)
    assert not unraisable


def test_half_made_stream_is_finalized_without_a_word(
    unraisable: list[sys.UnraisableHookArgs],
) -> None:
    """A stream that was made without ``__init__`` has nothing to close."""
    PortEventStream.__new__(PortEventStream)
    gc.collect()
    assert not unraisable
