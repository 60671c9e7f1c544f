"""The public functions and the stream: arguments, iteration, and the closed stream."""

from __future__ import annotations

import copy
import dataclasses
import gc
import pickle
import sys
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio import ClosedResourceError

from aioteredo import BackendError, NotificationType, SimulatedBackend, use_backend

from ..support.kinds import Kind

every_loop = pytest.mark.every_loop


@every_loop
async def test_iteration_yields_each_change(client: SimulatedBackend, kind: Kind) -> None:
    """With ``initial=True``, the current value comes first."""
    seen = []
    async with kind.watch(initial=True, backend=client) as events:
        kind.change(client, 2000)
        kind.change(client, None)
        async for event in events:
            seen.append(event)
            if len(seen) == 3:
                break

    assert seen == [
        kind.event(1000, NotificationType.INITIAL),
        kind.event(2000, NotificationType.PARAMETER),
        kind.event(None, NotificationType.PARAMETER),
    ]


def test_watch_without_async_with_cannot_be_iterated(
    client: SimulatedBackend, kind: Kind
) -> None:
    """If the user forgets ``async with``, Python raises TypeError at once."""
    watch = kind.watch(backend=client)
    assert not hasattr(watch, "__aiter__")
    assert not hasattr(watch, "receive")


@pytest.mark.parametrize("size", [0, -1, sys.maxsize + 1])
def test_buffer_size_out_of_range_is_refused(kind: Kind, size: int) -> None:
    """ValueError names the argument and its value, before anything is registered."""
    with pytest.raises(ValueError, match=f"max_buffer_size .* not {size}"):
        kind.watch(max_buffer_size=size)


@pytest.mark.parametrize("size", [None, "16", 1.5])
def test_buffer_size_that_is_not_an_integer_is_refused(kind: Kind, size: object) -> None:
    """TypeError names the argument."""
    with pytest.raises(TypeError, match="max_buffer_size must be an integer"):
        kind.watch(max_buffer_size=size)


@every_loop
async def test_buffer_of_one_holds_the_latest_event(
    client: SimulatedBackend, kind: Kind
) -> None:
    """With a buffer of one, a burst leaves the latest event, which counts the others."""
    async with kind.watch(initial=True, max_buffer_size=1, backend=client) as events:
        for port in (1, 2, None, 4):
            kind.change(client, port)
        assert await events.receive() == kind.event(4, missed=4)


@every_loop
async def test_receiving_after_the_block_raises(
    client: SimulatedBackend, kind: Kind
) -> None:
    """After the block, each way to receive raises, even if events were waiting."""
    async with kind.watch(initial=True, backend=client) as events:
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
    kind: Kind,
) -> None:
    """``aclose()`` may be called in the block, and repeatedly; leaving still works."""
    async with kind.watch(backend=client) as events:
        await events.aclose()
        assert client.subscriber_count == 0
        await events.aclose()


@every_loop
async def test_watch_that_is_entered_twice_raises(
    client: SimulatedBackend, kind: Kind
) -> None:
    """The error says how to get another watch."""
    watch = kind.watch(backend=client)
    async with watch:
        with pytest.raises(RuntimeError, match=f"{kind.watch.__name__}\\(\\)"):
            await watch.__aenter__()
    assert client.subscriber_count == 0


@every_loop
async def test_watch_can_be_left_in_another_task(
    client: SimulatedBackend, kind: Kind
) -> None:
    """Async fixtures enter a watch in one task and leave it in another."""
    watch = kind.watch(backend=client)
    streams: list[Any] = []

    async def enter() -> None:
        streams.append(await watch.__aenter__())

    async def leave() -> None:
        await watch.__aexit__(None, None, None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
    kind.change(client, 1)
    assert await streams[0].receive() == kind.event(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leave)

    assert client.subscriber_count == 0


@every_loop
async def test_call_in_a_cancelled_scope_registers_nothing(
    client: SimulatedBackend,
    kind: Kind,
) -> None:
    """In a scope that is already cancelled, the backend is not called."""
    for function in (
        kind.watch(backend=client).__aenter__,
        lambda: kind.get(backend=client),
    ):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await function()
        assert scope.cancelled_caught

    assert client.subscriber_count == 0


@every_loop
async def test_stream_of_a_watch_that_could_not_open_is_closed(
    client: SimulatedBackend,
    kind: Kind,
) -> None:
    """The user has never had the stream, so its finalizer must not warn."""
    client.fail_next_subscribe(BackendError("NotifyTeredoPortChange", 8))
    watch = kind.watch(backend=client)
    with pytest.raises(BackendError):
        await watch.__aenter__()
    with pytest.raises(ClosedResourceError):
        await watch._stream.receive()


@every_loop
async def test_failure_to_subscribe_is_raised_by_async_with(
    client: SimulatedBackend,
    kind: Kind,
) -> None:
    """An error of the backend's ``subscribe()`` is raised, and nothing is registered."""
    client.fail_next_subscribe(error := BackendError("NotifyTeredoPortChange", 8))
    with pytest.raises(BackendError) as raised:
        async with kind.watch(backend=client):
            pytest.fail("entered")
    assert raised.value is error
    assert client.subscriber_count == 0


@every_loop
async def test_get_returns_the_current_value(client: SimulatedBackend, kind: Kind) -> None:
    """The value is the port, or None without a port; or the tuple of all addresses."""
    assert await kind.get(backend=client) == kind.value(1000)
    kind.change(client, None)
    assert await kind.get(backend=client) == kind.value(None)


@every_loop
async def test_default_backend_is_used_without_an_argument(
    client: SimulatedBackend, kind: Kind
) -> None:
    """Neither the watch nor the call for the current value needs a backend."""
    with use_backend(client):
        async with kind.watch() as events:
            kind.change(client, 1)
            assert await events.receive() == kind.event(1)
        assert await kind.get() == kind.value(1)


@every_loop
async def test_two_watches_both_get_each_event(
    client: SimulatedBackend, kind: Kind
) -> None:
    """Each watch of a client gets each event."""
    async with (
        kind.watch(backend=client) as first,
        kind.watch(backend=client) as second,
    ):
        kind.change(client, 1)
        assert await first.receive() == await second.receive() == kind.event(1)


@every_loop
async def test_stream_goes_on_without_its_context_manager(
    client: SimulatedBackend, kind: Kind
) -> None:
    """A stream works even if only the context manager has been dropped."""
    events = await kind.watch(backend=client).__aenter__()
    gc.collect()
    kind.change(client, 1)
    assert await events.receive() == kind.event(1)
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
    kind: Kind,
    unraisable: list[sys.UnraisableHookArgs],
    copied: Callable[[object], object],
) -> None:
    """A copy would close the registration of the original, so it raises TypeError."""
    watch = kind.watch(backend=client)
    async with watch as events:
        for thing in (events, watch):
            with pytest.raises(
                TypeError, match=f"cannot be copied .* {kind.watch.__name__}"
            ):
                copied(thing)
        gc.collect()
        kind.change(client, 1)
        assert await events.receive() == kind.event(1)

    assert not unraisable


def test_half_made_stream_is_finalized_silently(
    kind: Kind,
    unraisable: list[sys.UnraisableHookArgs],
) -> None:
    """A stream that was made without ``__init__`` has nothing to close."""
    kind.stream_class.__new__(kind.stream_class)
    gc.collect()
    assert not unraisable
