"""The stable addresses of the Windows backend: the ctypes code with real native threads."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from aioteredo import (
    BackendError,
    BackendUnavailableError,
    NotificationType,
    TeredoAddress,
    get_teredo_addresses,
)
from aioteredo.backends.iphlpapi import _subscription as _iphlpapi_subscription
from aioteredo.backends.iphlpapi._library import Library

from ..native import AT_ONCE, PENDING, PENDING_INLINE, StandIn
from ..support.interruption import once
from ..support.sinks import RecordingSink
from ..support.waiting import eventually, join, limit, start_thread

every_loop = pytest.mark.every_loop

INITIAL = NotificationType.INITIAL

ONE = "2001:0:c633:6401::34ff:8ef8"
TWO = "2001:0:c633:6401:8000:9bff:34ff:8ef8"
FIRST = (TeredoAddress(ONE),)
SECOND = (TeredoAddress(TWO),)
TENTATIVE = 1


@every_loop
async def test_addresses_that_are_stable_already_are_returned(stand_in: StandIn) -> None:
    """The function returns their table, registers nothing, and nothing is cancelled."""
    stand_in.set_addresses("::1", ONE)
    found = await get_teredo_addresses(wait_until_stable=True, backend=stand_in.backend)
    assert found == FIRST
    assert (stand_in.registered, stand_in.cancelled, stand_in.called) == (0, 0, 0)
    assert (stand_in.allocated, stand_in.freed) == (1, 1)
    assert not _iphlpapi_subscription._subscriptions


@every_loop
async def test_addresses_are_returned_when_they_become_stable(stand_in: StandIn) -> None:
    """The callback brings their table, and the registration is then cancelled."""
    stand_in.set_stable(PENDING)
    found = []

    async def wait() -> None:
        backend = stand_in.backend
        found.append(await get_teredo_addresses(wait_until_stable=True, backend=backend))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await eventually(lambda: stand_in.live, "a registration")
        stand_in.set_addresses("::1", ONE)
        stand_in.fire_stable()

    assert found == [FIRST]
    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)
    assert (stand_in.allocated, stand_in.freed) == (1, 1)


@every_loop
async def test_callback_before_the_function_returns_is_enough(stand_in: StandIn) -> None:
    """It comes before the handle is known, which is then still cancelled."""
    stand_in.set_stable(PENDING_INLINE)
    stand_in.set_addresses(ONE)
    found = await get_teredo_addresses(wait_until_stable=True, backend=stand_in.backend)
    assert found == FIRST
    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)


@every_loop
async def test_cancelled_wait_leaves_nothing_registered(stand_in: StandIn) -> None:
    """A callback that comes after that frees its table, and reaches nobody."""
    stand_in.set_stable(PENDING)
    stand_in.set_addresses(ONE)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_wait_for_ever, stand_in)
            await eventually(lambda: stand_in.live, "a registration")
            scope.cancel()

    assert (stand_in.registered, stand_in.cancelled, stand_in.live) == (1, 1, 0)
    assert not _iphlpapi_subscription._subscriptions
    stand_in.fire_late(0)
    assert (stand_in.called, stand_in.allocated, stand_in.freed) == (1, 1, 1)


async def _wait_for_ever(stand_in: StandIn) -> None:
    await get_teredo_addresses(wait_until_stable=True, backend=stand_in.backend)
    pytest.fail("the addresses never became stable")


def test_callback_that_comes_again_frees_each_table(stand_in: StandIn) -> None:
    """The system may call until the registration is cancelled, each time with a table."""
    stand_in.set_stable(PENDING)
    sink = RecordingSink()
    subscription = stand_in.backend.subscribe_stable_addresses(sink)
    stand_in.set_addresses(ONE)
    stand_in.fire_stable()
    stand_in.set_addresses(TWO)
    stand_in.fire_stable()
    subscription.cancel()
    assert sink.pushed == [(FIRST, INITIAL), (SECOND, INITIAL)]
    assert (stand_in.allocated, stand_in.freed) == (2, 2)


def test_cancelling_waits_for_a_callback_in_flight(stand_in: StandIn) -> None:
    """After cancel() has returned, no push runs, and the table of the callback is freed."""
    stand_in.set_stable(PENDING)
    stand_in.set_addresses(ONE)
    sink = RecordingSink()
    sink.hold = True
    subscription = stand_in.backend.subscribe_stable_addresses(sink)
    callback = start_thread(stand_in.fire_stable)
    assert sink.held.wait(limit())

    cancelling = start_thread(subscription.cancel)
    cancelling.join(0.1)
    assert cancelling.is_alive()
    assert stand_in.freed == 0

    sink.release.set()
    join(callback, cancelling)
    assert (stand_in.cancelled, stand_in.freed) == (1, 1)


@pytest.mark.parametrize("mode", [AT_ONCE, PENDING_INLINE])
def test_stable_table_contains_only_addresses_that_can_be_used(
    stand_in: StandIn, mode: int
) -> None:
    """A table without a usable Teredo address pushes no address."""
    stand_in.set_stable(mode)
    stand_in.set_addresses(ONE, "2001:db8::1", states=[TENTATIVE, 4])
    sink = RecordingSink()
    stand_in.backend.subscribe_stable_addresses(sink).cancel()
    assert sink.pushed == [((), INITIAL)]


@pytest.mark.parametrize("mode", [AT_ONCE, PENDING])
def test_sink_that_raises_does_not_keep_the_table(stand_in: StandIn, mode: int) -> None:
    """The exception fails the sink, or the subscription if that is not made yet."""

    class Broken(RecordingSink):
        def push(self, value: object, notification_type: int) -> None:
            raise ZeroDivisionError

    stand_in.set_stable(mode)
    stand_in.set_addresses(ONE)
    sink = Broken()
    if mode == AT_ONCE:
        with pytest.raises(ZeroDivisionError):
            stand_in.backend.subscribe_stable_addresses(sink)
    else:
        subscription = stand_in.backend.subscribe_stable_addresses(sink)
        stand_in.fire_stable()
        subscription.cancel()

    (error,) = sink.failed
    assert error.function == "PSTABLE_UNICAST_IPADDRESS_TABLE_CALLBACK"
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert (stand_in.allocated, stand_in.freed) == (1, 1)


@every_loop
async def test_failure_of_notify_stable_is_raised(stand_in: StandIn) -> None:
    """The error has the code of the function, and nothing is cancelled."""
    stand_in.fail("NotifyStableUnicastIpAddressTable", 8)
    with pytest.raises(BackendError, match="^NotifyStableUnicastIpAddressTable: .*MEMORY"):
        await get_teredo_addresses(wait_until_stable=True, backend=stand_in.backend)
    assert stand_in.cancelled == 0
    assert not _iphlpapi_subscription._subscriptions


@every_loop
async def test_system_without_ipv6_has_no_stable_addresses(stand_in: StandIn) -> None:
    """ERROR_NOT_SUPPORTED makes the backend unavailable, and the error names the remedy."""
    stand_in.fail("NotifyStableUnicastIpAddressTable", 50)
    with pytest.raises(BackendUnavailableError, match="enable IPv6"):
        await get_teredo_addresses(wait_until_stable=True, backend=stand_in.backend)


@every_loop
async def test_machine_without_ipv6_addresses_is_stable(stand_in: StandIn) -> None:
    """ERROR_NOT_FOUND, the result for an empty table, is not an error."""
    stand_in.fail("NotifyStableUnicastIpAddressTable", 1168)
    assert not await get_teredo_addresses(wait_until_stable=True, backend=stand_in.backend)


def test_pending_request_without_a_handle_is_an_error(stand_in: StandIn) -> None:
    """BackendError is raised, and a NULL handle is not cancelled."""
    stand_in.set_stable(PENDING)
    stand_in.set_null_handle(True)
    with pytest.raises(BackendError, match="^NotifyStable.*: .*ERROR_INVALID_HANDLE"):
        stand_in.backend.subscribe_stable_addresses(RecordingSink())
    assert stand_in.cancelled == 0
    stand_in.reset()


@pytest.mark.parametrize("mode", [AT_ONCE, PENDING, PENDING_INLINE])
@pytest.mark.parametrize("before", [True, False])
def test_interrupted_request_leaves_nothing_behind(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, mode: int, before: bool
) -> None:
    """Ctrl-C before or after the native call leaves neither registration nor table."""
    function = Library.function

    def interrupted(library: Library, name: str, *types: object, **named: object) -> object:
        native: Callable[..., object] = function(library, name, *types, **named)
        if name == "NotifyStableUnicastIpAddressTable":
            return once(native, before=before)
        return native

    monkeypatch.setattr(Library, "function", interrupted)
    stand_in.set_stable(mode)
    stand_in.set_addresses(ONE)
    with pytest.raises(KeyboardInterrupt):
        stand_in.backend.subscribe_stable_addresses(RecordingSink())
    assert (stand_in.live, stand_in.misused) == (0, 0)
    assert stand_in.freed == stand_in.allocated
    assert not _iphlpapi_subscription._subscriptions


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is in System32 there")
def test_late_callback_frees_its_table_by_its_own_library(
    stand_in: StandIn, tmp_path: Path
) -> None:
    """Two libraries have two heaps, and a late callback finds no subscription to ask."""
    assert stand_in.library is not None
    other = StandIn(str(shutil.copy(stand_in.library, tmp_path / "other.so")))
    for each in (stand_in, other):
        each.set_stable(PENDING)
        each.set_addresses(ONE)
        each.backend.subscribe_stable_addresses(RecordingSink()).cancel()
        each.backend.subscribe_stable_addresses(RecordingSink()).cancel()

    for each in (stand_in, other):
        each.fire_late(0)
        assert (each.allocated, each.freed) == (1, 1)
