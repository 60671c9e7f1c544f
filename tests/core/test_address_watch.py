"""The watch for addresses tells changes of the addresses from other notifications."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

import pytest

from aioteredo import (
    AddressEvent,
    BackendError,
    NotificationType,
    SimulatedBackend,
    TeredoAddress,
    get_teredo_addresses,
    watch_teredo_addresses,
)
from aioteredo._backend import AddressSink, Subscription

from ..support.backends import CountingBackend
from ..support.kinds import address

every_loop = pytest.mark.every_loop

INITIAL = NotificationType.INITIAL
PARAMETER = NotificationType.PARAMETER

FIRST = address(1)
SECOND = address(2)


@every_loop
@pytest.mark.parametrize("initial", [False, True])
async def test_notification_without_a_change_is_no_event(
    client: SimulatedBackend, initial: bool
) -> None:
    """Neither the first notification nor a later one is an event, or counts as missed."""
    client.set_addresses(FIRST)
    async with watch_teredo_addresses(initial=initial, backend=client) as events:
        client.set_addresses(FIRST)
        client.set_addresses(SECOND)
        client.set_addresses(SECOND)
        client.set_addresses()

        if initial:
            assert await events.receive() == AddressEvent((FIRST,), INITIAL)
        assert await events.receive() == AddressEvent((SECOND,))
        assert await events.receive() == AddressEvent(())


@every_loop
async def test_missed_counts_changes_only(client: SimulatedBackend) -> None:
    """A full buffer drops events, and notifications without a change are not events."""
    async with watch_teredo_addresses(max_buffer_size=1, backend=client) as events:
        for addresses in ([FIRST], [FIRST], [], [], [FIRST, SECOND]):
            client.set_addresses(*addresses)

        assert await events.receive() == AddressEvent((SECOND, FIRST), missed=2)


@every_loop
async def test_change_and_change_back_are_two_events(client: SimulatedBackend) -> None:
    """Each event is compared with the one before it, not with the one received last."""
    client.set_addresses(FIRST)
    async with watch_teredo_addresses(max_buffer_size=1, backend=client) as events:
        client.set_addresses()
        client.set_addresses(FIRST)

        assert await events.receive() == AddressEvent((FIRST,), missed=1)


class Unsorted(CountingBackend):
    """A backend that reports the same two addresses in any order, and one of them twice."""

    def get_addresses(self) -> tuple[TeredoAddress, ...]:
        return (FIRST, SECOND, FIRST)

    def subscribe_addresses(self, sink: AddressSink, *, initial: bool) -> Subscription:
        if initial:
            sink.push((FIRST, SECOND), INITIAL)
        sink.push((SECOND, FIRST), PARAMETER)
        sink.push((FIRST, SECOND, FIRST), PARAMETER)
        sink.push((FIRST,), PARAMETER)
        return self.subscribe(sink, initial=initial)  # type: ignore[arg-type]

    def subscribe_stable_addresses(self, sink: AddressSink) -> Subscription:
        sink.push((FIRST, SECOND, FIRST), INITIAL)
        return self.subscribe(sink, initial=False)  # type: ignore[arg-type]


@every_loop
async def test_order_of_the_backend_is_not_a_change() -> None:
    """A watch sorts the addresses, and drops repetitions, before it compares them."""
    async with watch_teredo_addresses(backend=Unsorted()) as events:
        assert await events.receive() == AddressEvent((FIRST,))


@every_loop
@pytest.mark.parametrize("stable", [False, True])
async def test_addresses_are_returned_sorted(stable: bool) -> None:
    """SECOND is less than FIRST, because an address contains the inverted port."""
    backend = Unsorted()
    addresses = await get_teredo_addresses(wait_until_stable=stable, backend=backend)
    assert addresses == (SECOND, FIRST)


class Scripted(Unsorted):
    """A backend that pushes and returns the values of the test."""

    def __init__(self, *pushes: tuple[Any, int]) -> None:
        super().__init__()
        self.pushes = pushes

    def get_addresses(self) -> Any:
        return self.pushes[0][0]

    def subscribe_addresses(self, sink: AddressSink, *, initial: bool) -> Subscription:
        for value, notification_type in self.pushes:
            sink.push(value, notification_type)
        return self

    def subscribe_stable_addresses(self, sink: AddressSink) -> Subscription:
        return self.subscribe_addresses(sink, initial=True)


@every_loop
async def test_second_initial_push_with_other_addresses_is_an_event() -> None:
    """Only the first initial push is the start of a watch without ``initial``."""
    backend = Scripted(((FIRST,), INITIAL), ((FIRST,), INITIAL), ((SECOND,), INITIAL))
    async with watch_teredo_addresses(backend=backend) as events:
        assert await events.receive() == AddressEvent((SECOND,), INITIAL)


@every_loop
@pytest.mark.parametrize(
    "value",
    [None, FIRST, str(FIRST), (str(FIRST),), (IPv6Address(FIRST),), [FIRST]],
    ids=["None", "address", "text", "texts", "IPv6Address", "list"],
)
async def test_value_that_is_not_a_tuple_of_teredo_addresses_is_refused(
    value: Any,
) -> None:
    """TypeError names the value; a string would otherwise be sorted by its characters."""
    backend = Scripted((value, INITIAL))
    for call in (
        watch_teredo_addresses(backend=backend).__aenter__,
        lambda: get_teredo_addresses(backend=backend),
        lambda: get_teredo_addresses(wait_until_stable=True, backend=backend),
    ):
        with pytest.raises(TypeError, match="must report its addresses as a tuple"):
            await call()


@every_loop
async def test_addresses_that_cannot_be_read_fail_a_watch_without_initial(
    client: SimulatedBackend,
) -> None:
    """The watch needs the addresses to tell a change."""
    asked_for_initial = []

    class Unreadable(Unsorted):
        def subscribe_addresses(self, sink: AddressSink, *, initial: bool) -> Subscription:
            asked_for_initial.append(initial)
            raise BackendError("GetUnicastIpAddressTable", 8)

    with pytest.raises(BackendError, match="GetUnicastIpAddressTable"):
        async with watch_teredo_addresses(backend=Unreadable()):
            pytest.fail("entered")

    assert asked_for_initial == [True]
