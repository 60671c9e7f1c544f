"""Checked by the type checkers, never run: what users write, with the types they get."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import assert_type

from anyio.abc import UnreliableObjectReceiveStream

from aioteredo import (
    AddressBackend,
    AddressEvent,
    AddressEventStream,
    AddressSink,
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
    TeredoAddress,
    get_teredo_addresses,
    get_teredo_port,
    share,
    use_backend,
    watch_teredo_addresses,
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


async def addresses() -> tuple[TeredoAddress, ...]:
    watch = watch_teredo_addresses(initial=True, max_buffer_size=1, backend="simulated")
    assert_type(watch, AbstractAsyncContextManager[AddressEventStream, None])
    async with watch as events:
        stream: UnreliableObjectReceiveStream[AddressEvent] = events
        assert_type(await stream.receive(), AddressEvent)
        async for event in events:
            assert_type(event, AddressEvent)
            assert_type(event.addresses, tuple[TeredoAddress, ...])
            assert_type(event.notification_type, NotificationType | int)
            assert_type(event.missed, int)
    assert_type(await get_teredo_addresses(), tuple[TeredoAddress, ...])
    return await get_teredo_addresses(wait_until_stable=True, backend=SimulatedBackend(1))


def with_addresses() -> list[AddressBackend]:
    client = SimulatedBackend()
    client.set_addresses("2001:0::1", TeredoAddress("2001:0::2"), stable=False)
    return [client, MineWithAddresses()]


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


class MineWithAddresses(Mine):
    """A third party's backend that reports addresses as well."""

    def get_addresses(self) -> tuple[TeredoAddress, ...]:
        return ()

    def subscribe_addresses(self, sink: AddressSink, *, initial: bool) -> Subscription:
        sink.push((TeredoAddress("2001:0::1"),), NotificationType.ADD)
        sink.fail(BackendError("read", 5, "errno"))
        return self

    def subscribe_stable_addresses(self, sink: AddressSink) -> Subscription:
        sink.push((), NotificationType.INITIAL)
        return self


def third_party() -> None:
    use_backend(Mine())
    use_backend(MineWithAddresses())
    assert_type(share(Mine()), Backend)
    share("simulated")  # type: ignore[arg-type]
    watch_teredo_port(backend=3)  # type: ignore[arg-type]
    watch_teredo_port(max_buffer_size="16")  # type: ignore[arg-type]
    PortEvent(1).port = 2  # type: ignore[misc]
    AddressEvent(()).addresses = ()  # type: ignore[misc]
    SimulatedBackend().set_addresses(1)  # type: ignore[arg-type]
