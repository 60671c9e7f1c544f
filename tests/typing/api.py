"""Checked by the type checkers, never run: what users write, with the types they get."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import assert_type

from anyio.abc import UnreliableObjectReceiveStream

from aioteredo import (
    Backend,
    BackendError,
    IphlpapiBackend,
    MiredoBackend,
    NotificationType,
    PortEvent,
    PortEventStream,
    SimulatedBackend,
    Sink,
    Subscription,
    get_teredo_port,
    use_backend,
    watch_teredo_port,
)


async def service(stack: AsyncExitStack) -> int | None:
    watch = watch_teredo_port(initial=True, max_buffer_size=1, backend="simulated")
    assert_type(watch, AbstractAsyncContextManager[PortEventStream, None])
    async with watch as events:
        stream: UnreliableObjectReceiveStream[PortEvent] = events
        assert_type(await stream.receive(), PortEvent)
        async for event in events:
            assert_type(event, PortEvent)
            assert_type(event.port, int | None)
            assert_type(event.notification_type, NotificationType | int)
            assert_type(event.missed, int)
    again = await stack.enter_async_context(watch_teredo_port())
    assert_type(await anext(again), PortEvent)
    with use_backend("simulated"):
        assert_type(await get_teredo_port(), int | None)
    # every way out of the block above goes on here: it swallows no exception
    return await get_teredo_port(backend=SimulatedBackend(1))


def built_in(library: str) -> list[Backend]:
    return [IphlpapiBackend(library), SimulatedBackend(None), MiredoBackend()]


class Mine:
    """A third party's backend."""

    def get_port(self) -> int | None:
        return None

    def subscribe(self, sink: Sink, *, initial: bool) -> Subscription:
        sink.push(1, NotificationType.PARAMETER)
        sink.fail(BackendError("read", 5, "errno"))
        return self

    def cancel(self) -> None:
        pass


def third_party() -> None:
    use_backend(Mine())
    watch_teredo_port(backend=3)  # type: ignore[arg-type]
    watch_teredo_port(max_buffer_size="16")  # type: ignore[arg-type]
    PortEvent(1).port = 2  # type: ignore[misc]
