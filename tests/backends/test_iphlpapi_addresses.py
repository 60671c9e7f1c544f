"""The addresses of the Windows backend: the ctypes code with real native threads."""

from __future__ import annotations

import ctypes
import threading

import pytest

from aioteredo import (
    AddressEvent,
    BackendError,
    BackendUnavailableError,
    NotificationType,
    TeredoAddress,
    get_teredo_addresses,
    watch_teredo_addresses,
)
from aioteredo.backends.iphlpapi import _addresses
from aioteredo.backends.iphlpapi import _subscription as _iphlpapi_subscription
from aioteredo.backends.iphlpapi._tables import AF_INET6, Row

from ..native import INLINE, ON_DEMAND, OTHER_THREAD, PREFERRED, StandIn
from ..support.sinks import RecordingSink
from ..support.waiting import join, limit, start_thread, wait_until

every_loop = pytest.mark.every_loop

INITIAL = NotificationType.INITIAL
ADD = NotificationType.ADD

ONE = "2001:0:c633:6401::34ff:8ef8"
TWO = "2001:0:c633:6401:8000:9bff:34ff:8ef8"
OTHERS = ["::1", "fe80::1", "2001:db8::1", "2001:1::1", "2002:c633:6401::1"]

LEFT_OUT = {"invalid": 0, "tentative": 1, "duplicate": 2, "deprecated": 3}


def addresses(*texts: str) -> tuple[TeredoAddress, ...]:
    return tuple(map(TeredoAddress, texts))


# get_addresses()


def test_only_teredo_addresses_are_returned(stand_in: StandIn) -> None:
    """The addresses of all interfaces are in the table, and 2001::/32 is Teredo's."""
    stand_in.set_addresses(*OTHERS, ONE, "2001:0:ffff::", *OTHERS, TWO)
    assert stand_in.backend.get_addresses() == addresses(ONE, "2001:0:ffff::", TWO)


@pytest.mark.parametrize("state", LEFT_OUT.values(), ids=LEFT_OUT)
def test_address_that_cannot_be_used_is_left_out(stand_in: StandIn, state: int) -> None:
    """Only an address in the state *preferred* can be used for a new connection."""
    stand_in.set_addresses(ONE, TWO, states=[state, PREFERRED])
    assert stand_in.backend.get_addresses() == addresses(TWO)


def test_machine_without_ipv6_addresses_has_no_teredo_address(stand_in: StandIn) -> None:
    """ERROR_NOT_FOUND, the result for an empty table, is not an error."""
    assert stand_in.backend.get_addresses() == ()


@pytest.mark.parametrize("count", [1, 64])
def test_table_is_freed_once(stand_in: StandIn, count: int) -> None:
    """The table is copied and freed before the addresses are returned."""
    stand_in.set_addresses(*[ONE] * count)
    assert stand_in.backend.get_addresses() == addresses(ONE) * count
    assert (stand_in.allocated, stand_in.freed) == (1, 1)


@every_loop
async def test_table_that_cannot_be_read_is_an_error(stand_in: StandIn) -> None:
    """The error of GetUnicastIpAddressTable is raised with its code, and nothing stays."""
    stand_in.fail("GetUnicastIpAddressTable", 8)
    with pytest.raises(BackendError, match="^GetUnicastIpAddressTable: .*MEMORY") as raised:
        await get_teredo_addresses(backend=stand_in.backend)
    assert raised.value.winerror == 8

    with pytest.raises(BackendError, match="^GetUnicastIpAddressTable: "):
        async with watch_teredo_addresses(backend=stand_in.backend):
            pytest.fail("entered")
    assert (stand_in.registered, stand_in.cancelled) == (1, 1)
    assert not _iphlpapi_subscription._subscriptions


@every_loop
async def test_system_without_ipv6_has_no_addresses_to_offer(stand_in: StandIn) -> None:
    """ERROR_NOT_SUPPORTED makes the backend unavailable, and the error names the remedy."""
    stand_in.fail("GetUnicastIpAddressTable", 50)
    with pytest.raises(BackendUnavailableError, match="enable IPv6"):
        await get_teredo_addresses(backend=stand_in.backend)
    with pytest.raises(BackendUnavailableError, match="enable IPv6"):
        async with watch_teredo_addresses(backend=stand_in.backend):
            pytest.fail("entered")


# subscribe_addresses()


@every_loop
@pytest.mark.parametrize("mode", [INLINE, OTHER_THREAD, ON_DEMAND])
async def test_addresses_after_each_change_are_received(
    stand_in: StandIn, mode: int
) -> None:
    """The initial event is the first one, whenever the system's initial callback comes."""
    stand_in.set_initial(mode)
    stand_in.set_addresses(ONE)
    async with watch_teredo_addresses(initial=True, backend=stand_in.backend) as events:
        stand_in.change_addresses(ONE, TWO)
        stand_in.fire_initial()
        stand_in.change_addresses()

        assert await events.receive() == AddressEvent(addresses(ONE), INITIAL)
        assert await events.receive() == AddressEvent(addresses(ONE, TWO))
        assert await events.receive() == AddressEvent(())
    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)


@every_loop
async def test_address_is_received_once_it_can_be_used(stand_in: StandIn) -> None:
    """The system notifies of a tentative address, and again when it is preferred."""
    async with watch_teredo_addresses(backend=stand_in.backend) as events:
        stand_in.set_addresses(ONE, states=[LEFT_OUT["tentative"]])
        stand_in.fire_address(ONE, ADD)
        stand_in.set_addresses(ONE)
        stand_in.fire_address(ONE)
        assert await events.receive() == AddressEvent(addresses(ONE))


def test_row_of_the_callback_is_not_trusted(stand_in: StandIn) -> None:
    """All addresses are pushed, although the row names another one and has no state."""
    sink = RecordingSink()
    stand_in.set_addresses(ONE)
    subscription = stand_in.backend.subscribe_addresses(sink, initial=False)
    stand_in.fire_address(TWO, ADD)
    stand_in.fire_address(None)
    subscription.cancel()
    assert sink.pushed == [(addresses(ONE), ADD), (addresses(ONE), 0)]


@pytest.mark.parametrize("other", OTHERS)
def test_change_of_another_address_does_not_read_the_table(
    stand_in: StandIn, other: str
) -> None:
    """Most changes of a machine are not Teredo's, and should cost little."""
    sink = RecordingSink()
    stand_in.set_addresses(ONE)
    subscription = stand_in.backend.subscribe_addresses(sink, initial=False)
    stand_in.fire_address(other)
    assert (stand_in.called, stand_in.allocated) == (1, 0)
    subscription.cancel()
    assert not sink.pushed


def test_row_without_an_address_may_be_about_teredo(stand_in: StandIn) -> None:
    """The row is incomplete, and only an IPv6 address can rule Teredo out."""
    sink = RecordingSink()
    subscription = stand_in.backend.subscribe_addresses(sink, initial=False)
    row = Row()
    _addresses._on_address_change(subscription._token, ctypes.pointer(row), 0)
    assert len(sink.pushed) == 1
    row.Address.sin6_family = AF_INET6
    _addresses._on_address_change(subscription._token, ctypes.pointer(row), 0)
    assert len(sink.pushed) == 1
    subscription.cancel()


@every_loop
async def test_table_that_cannot_be_read_in_a_callback_ends_the_stream(
    stand_in: StandIn,
) -> None:
    """The events before it are received, then the error of the function is raised."""
    async with watch_teredo_addresses(backend=stand_in.backend) as events:
        stand_in.change_addresses(ONE)
        stand_in.fail("GetUnicastIpAddressTable", 8)
        stand_in.change_addresses(TWO)
        stand_in.fail("GetUnicastIpAddressTable", 0)
        stand_in.change_addresses()

        assert await events.receive() == AddressEvent(addresses(ONE))
        with pytest.raises(BackendError, match="^GetUnicastIpAddressTable: .*MEMORY"):
            await events.receive()
    assert stand_in.cancelled == 1


@every_loop
async def test_ipv6_that_disappears_ends_the_stream(stand_in: StandIn) -> None:
    """A watch fails with a BackendError, whose cause says that there is no IPv6."""
    async with watch_teredo_addresses(backend=stand_in.backend) as events:
        stand_in.fail("GetUnicastIpAddressTable", 50)
        stand_in.fire_address(ONE)
        with pytest.raises(BackendError, match="^PUNICAST_IPADDRESS_CHANGE_") as raised:
            await events.receive()
    assert isinstance(raised.value.__cause__, BackendUnavailableError)


@pytest.mark.parametrize("after_the_callback", [False, True])
@every_loop
async def test_failure_of_notify_address_is_raised(
    stand_in: StandIn, after_the_callback: bool
) -> None:
    """An error of NotifyUnicastIpAddressChange is raised, and nothing is cancelled."""
    name = "NotifyUnicastIpAddressChange"
    stand_in.fail(name, 87, after_the_callback=after_the_callback)
    with pytest.raises(BackendError, match=f"^{name}: .*ERROR_INVALID_PARAMETER"):
        async with watch_teredo_addresses(backend=stand_in.backend):
            pytest.fail("entered")
    assert stand_in.cancelled == 0
    assert not _iphlpapi_subscription._subscriptions


def test_callback_after_cancelling_reads_no_table(stand_in: StandIn) -> None:
    """It finds no subscription, so it has nothing to do."""
    sink = RecordingSink()
    stand_in.set_addresses(ONE)
    stand_in.backend.subscribe_addresses(sink, initial=False).cancel()
    stand_in.fire_late(0)
    assert (stand_in.called, stand_in.allocated) == (1, 0)
    assert not sink.pushed


def test_callback_that_is_late_for_its_subscription_reads_no_table(
    stand_in: StandIn,
) -> None:
    """It has found the subscription before that was cancelled, and pushes nothing."""
    sink = RecordingSink()
    stand_in.set_addresses(ONE)
    subscription = stand_in.backend.subscribe_addresses(sink, initial=False)
    subscription.notify(None, 0)
    subscription.cancel()
    subscription.notify(None, 0)
    assert sink.pushed == [(addresses(ONE), 0)]
    assert stand_in.allocated == 1


@every_loop
async def test_change_of_the_port_is_no_change_of_the_addresses(stand_in: StandIn) -> None:
    """A watch of each kind is registered by a function of its own."""
    async with watch_teredo_addresses(backend=stand_in.backend) as events:
        called = stand_in.called
        stand_in.change(1)
        assert stand_in.called == called
        stand_in.change_addresses(ONE)
        assert await events.receive() == AddressEvent(addresses(ONE))


def test_callback_reads_the_addresses_after_it_has_waited_for_another_one(
    stand_in: StandIn,
) -> None:
    """Callbacks that overlap never push an older table after a newer one."""
    sink = RecordingSink()
    sink.hold = True
    subscription = stand_in.backend.subscribe_addresses(sink, initial=False)
    first = start_thread(lambda: stand_in.change_addresses(ONE))
    assert sink.held.wait(limit())

    second = start_thread(lambda: stand_in.change_addresses(TWO))
    wait_until(lambda: stand_in.called == 2, "the second callback")
    second.join(0.1)  # It could read the table now, which would be too early.
    stand_in.set_addresses(ONE, TWO)

    sink.release.set()
    join(first, second)
    subscription.cancel()
    assert sink.pushed == [(addresses(ONE), 0), (addresses(ONE, TWO), 0)]


@every_loop
async def test_notifying_threads_leave_no_trace_after_reading_the_table(
    stand_in: StandIn,
) -> None:
    """A native thread that has read the table is not listed by ``threading`` afterwards."""
    async with watch_teredo_addresses(backend=stand_in.backend):
        before = {*threading.enumerate()}
        for _ in range(20):
            stand_in.change_addresses(ONE)
        assert {*threading.enumerate()} <= before
