"""The public functions and the stream: arguments, iteration, and the closed stream."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import sys
from collections.abc import Callable

import anyio
import pytest
from anyio import ClosedResourceError

from aioteredo import (
    BackendError,
    NotificationType,
    PortEvent,
    PortEventStream,
    SimulatedBackend,
    get_teredo_port,
    watch_teredo_port,
)

every_loop = pytest.mark.every_loop


@every_loop
async def test_iteration_yields_each_change(client: SimulatedBackend) -> None:
    """With ``initial=True``, the current port comes first."""
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


def test_watch_without_async_with_cannot_be_iterated(client: SimulatedBackend) -> None:
    """If the user forgets ``async with``, Python raises TypeError at once."""
    watch = watch_teredo_port(backend=client)
    assert not hasattr(watch, "__aiter__")
    assert not hasattr(watch, "receive")


@pytest.mark.parametrize("size", [0, -1, sys.maxsize + 1])
def test_buffer_size_out_of_range_is_refused(size: int) -> None:
    """ValueError names the argument and its value, before anything is registered."""
    with pytest.raises(ValueError, match=f"max_buffer_size .* not {size}"):
        watch_teredo_port(max_buffer_size=size)


@pytest.mark.parametrize("size", [None, "16", 1.5])
def test_buffer_size_that_is_not_an_integer_is_refused(size: object) -> None:
    """TypeError names the argument."""
    with pytest.raises(TypeError, match="max_buffer_size must be an integer"):
        watch_teredo_port(max_buffer_size=size)  # type: ignore[arg-type]


@every_loop
async def test_buffer_of_one_holds_the_latest_event(client: SimulatedBackend) -> None:
    """With a buffer of one, a burst leaves the latest event, which counts the others."""
    async with watch_teredo_port(initial=True, max_buffer_size=1, backend=client) as events:
        client.burst([1, 2, None, 4])
        assert await events.receive() == PortEvent(4, missed=4)


@every_loop
async def test_receiving_after_the_block_raises(client: SimulatedBackend) -> None:
    """After the block, each way to receive raises, even if events were waiting."""
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
async def test_stream_can_be_closed_in_the_block_and_again(
    client: SimulatedBackend,
) -> None:
    """``aclose()`` may be called in the block, and repeatedly; leaving still works."""
    async with watch_teredo_port(backend=client) as events:
        await events.aclose()
        assert client.subscriber_count == 0
        await events.aclose()


@every_loop
async def test_watch_that_is_entered_twice_raises(client: SimulatedBackend) -> None:
    """The error says how to get another watch."""
    watch = watch_teredo_port(backend=client)
    async with watch:
        with pytest.raises(RuntimeError, match="watch_teredo_port"):
            await watch.__aenter__()
    assert client.subscriber_count == 0


@every_loop
async def test_watch_can_be_left_in_another_task(client: SimulatedBackend) -> None:
    """Async fixtures enter a watch in one task and leave it in another."""
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
async def test_call_in_a_cancelled_scope_registers_nothing(
    client: SimulatedBackend,
) -> None:
    """In a scope that is already cancelled, the backend is not called."""
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
async def test_stream_of_a_watch_that_could_not_open_is_closed(
    client: SimulatedBackend,
) -> None:
    """The user has never had the stream, so its finalizer must not warn."""
    client.fail_next_subscribe(BackendError("NotifyTeredoPortChange", 8))
    watch = watch_teredo_port(backend=client)
    with pytest.raises(BackendError):
        await watch.__aenter__()
    with pytest.raises(ClosedResourceError):
        await watch._stream.receive()  # type: ignore[attr-defined]


@every_loop
async def test_failure_to_subscribe_is_raised_by_async_with(
    client: SimulatedBackend,
) -> None:
    """An error of the backend's ``subscribe()`` is raised, and nothing is registered."""
    client.fail_next_subscribe(error := BackendError("NotifyTeredoPortChange", 8))
    with pytest.raises(BackendError) as raised:
        async with watch_teredo_port(backend=client):
            pytest.fail("entered")
    assert raised.value is error
    assert client.subscriber_count == 0


@every_loop
async def test_get_teredo_port_returns_the_port_or_none(client: SimulatedBackend) -> None:
    """``get_teredo_port()`` returns the port, or None if there is none."""
    assert await get_teredo_port(backend=client) == 1000
    client.stop()
    assert await get_teredo_port(backend=client) is None


@every_loop
async def test_two_watches_both_get_each_event(client: SimulatedBackend) -> None:
    """Each watch of a client gets each event."""
    async with (
        watch_teredo_port(backend=client) as first,
        watch_teredo_port(backend=client) as second,
    ):
        client.set_port(1)
        assert await first.receive() == await second.receive() == PortEvent(1)


@every_loop
async def test_stream_goes_on_without_its_context_manager(client: SimulatedBackend) -> None:
    """A stream works even if only the context manager has been dropped."""
    events = await watch_teredo_port(backend=client).__aenter__()
    gc.collect()
    client.set_port(1)
    assert await events.receive() == PortEvent(1)
    await events.aclose()


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
    """A copy would close the registration of the original, so it raises TypeError."""
    watch = watch_teredo_port(backend=client)
    async with watch as events:
        for thing in (events, watch):
            with pytest.raises(TypeError, match=r"cannot be copied .* watch_teredo_port"):
                copied(thing)
        gc.collect()
        client.set_port(1)
        assert await events.receive() == PortEvent(1)

    assert not unraisable


def test_half_made_stream_is_finalized_silently(
    unraisable: list[sys.UnraisableHookArgs],
) -> None:
    """A stream that was made without ``__init__`` has nothing to close."""
    PortEventStream.__new__(PortEventStream)
    gc.collect()
    assert not unraisable
