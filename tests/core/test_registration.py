"""A registration is cancelled once, even if the backend misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aioteredo import SimulatedBackend, _registration, get_teredo_port, watch_teredo_port
from aioteredo._backend import Sink
from aioteredo._registry import registry

from ..support.backends import CountingBackend
from ..support.waiting import wait_until

every_loop = pytest.mark.every_loop


@every_loop
async def test_cancel_that_raises_at_exit_does_not_prevent_the_others(
    client: SimulatedBackend,
) -> None:
    """At exit, the registrations after the one that raises are cancelled as well."""

    def fail() -> None:
        raise ZeroDivisionError

    broken = watch_teredo_port(backend=CountingBackend(on_cancel=fail))
    sound = watch_teredo_port(backend=client)
    await broken.__aenter__()
    await sound.__aenter__()
    registry.cancel_all()

    assert not _registration._subscriptions
    assert client.subscriber_count == 0


@every_loop
async def test_task_that_closes_a_half_open_watch_is_not_shielded(
    client: SimulatedBackend,
) -> None:
    """A task that closes the coroutine of ``__aenter__`` can be cancelled afterwards."""
    with anyio.CancelScope() as scope:
        entering = watch_teredo_port(backend=client).__aenter__()
        entering.send(None)
        entering.close()
        scope.cancel()
        await checkpoint()
        pytest.fail("the task is still shielded")

    assert scope.cancelled_caught
    wait_until(
        lambda: not _registration._subscriptions, "the half-open watch was cancelled"
    )
    wait_until(lambda: client.subscriber_count == 0, "the half-open watch was cancelled")


@every_loop
async def test_subscribe_that_returns_none_raises_type_error() -> None:
    """The error names the backend, and nothing is registered."""

    class ReturnsNone(CountingBackend):
        def subscribe(self, sink: Sink, *, initial: bool) -> None:  # type: ignore[override]
            return None

        def __repr__(self) -> str:
            return "<ReturnsNone>"

    with pytest.raises(TypeError, match=r"<ReturnsNone>.* cancel, not None"):
        async with watch_teredo_port(backend=ReturnsNone()):  # type: ignore[arg-type]
            pytest.fail("entered")

    assert not _registration._subscriptions


@every_loop
async def test_any_exception_of_cancel_is_a_note_on_the_users_exception() -> None:
    """An OSError of ``cancel()`` does not replace the exception that leaves the block."""

    def fail() -> None:
        raise OSError(9, "bad")

    with pytest.raises(ZeroDivisionError) as raised:
        async with watch_teredo_port(backend=CountingBackend(on_cancel=fail)):
            raise ZeroDivisionError

    assert raised.value.__notes__ == ["while closing the watch: [Errno 9] bad"]


@every_loop
async def test_any_exception_of_cancel_is_raised_if_there_is_no_other() -> None:
    """Without another exception, the one of ``cancel()`` leaves the block."""

    def fail() -> None:
        raise OSError(9, "bad")

    with pytest.raises(OSError, match="bad"):
        async with watch_teredo_port(backend=CountingBackend(on_cancel=fail)):
            pass


@pytest.mark.asyncio_loops
async def test_task_that_cancels_itself_registers_nothing() -> None:
    """A pending ``task.cancel()`` is raised before the backend is called."""
    backend = CountingBackend()
    task = asyncio.current_task()
    assert task is not None
    calls: list[Callable[[], Awaitable[object]]] = [
        watch_teredo_port(backend=backend).__aenter__,
        lambda: get_teredo_port(backend=backend),
    ]

    for call in calls:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call()
        task.uncancel()

    assert backend.subscribed == 0


@pytest.mark.asyncio_loops
async def test_task_can_open_a_watch_after_its_cancellation_was_delivered() -> None:
    """A task that is handling its cancellation may open a watch."""
    backend = CountingBackend()
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    async with watch_teredo_port(backend=backend):
        pass
    assert task.cancelling() == 1
    task.uncancel()

    assert (backend.subscribed, backend.cancelled) == (1, 1)
