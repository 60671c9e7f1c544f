"""``get_teredo_addresses``: the wait for stable addresses, and backends without any."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from aioteredo import (
    BackendError,
    BackendFailedError,
    BackendUnavailableError,
    SimulatedBackend,
    get_teredo_addresses,
    get_teredo_port,
    watch_teredo_addresses,
)
from aioteredo._backend import AddressSink, Subscription

from ..support.backends import CountingBackend
from ..support.kinds import address
from ..support.waiting import eventually, in_time, wait_until

every_loop = pytest.mark.every_loop

FIRST = address(1)
SECOND = address(2)


async def wait_for_addresses(client: SimulatedBackend) -> None:
    await get_teredo_addresses(wait_until_stable=True, backend=client)


async def until_waiting(client: SimulatedBackend) -> None:
    """Return once the call has registered and waits for its event.

    The subscription exists before the thread that opens it has woken the task.
    """

    def is_waiting() -> bool:
        mailboxes: list[Any] = [each.sink for each in list(client._client.subscriptions)]
        return len(mailboxes) == 1 and mailboxes[0]._waiting

    await eventually(is_waiting, "the wait for an event")


@every_loop
async def test_stable_addresses_are_returned_at_once(client: SimulatedBackend) -> None:
    """If the addresses are stable already, even if there is none, there is no wait."""
    for addresses in ((), (FIRST,)):
        client.set_addresses(*addresses)
        stable = await get_teredo_addresses(wait_until_stable=True, backend=client)
        assert stable == addresses

    assert client.subscriber_count == 0


@every_loop
async def test_wait_ends_with_the_first_stable_addresses(client: SimulatedBackend) -> None:
    """Usable addresses that are not stable are returned only without the wait."""
    client.set_addresses(stable=False)
    returned = []

    async def wait() -> None:
        returned.append(await get_teredo_addresses(wait_until_stable=True, backend=client))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await until_waiting(client)
        client.set_addresses(FIRST, stable=False)
        await wait_all_tasks_blocked()
        assert not returned
        assert await get_teredo_addresses(backend=client) == (FIRST,)
        client.set_addresses(FIRST, SECOND)

    assert returned == [(SECOND, FIRST)]
    assert client.subscriber_count == 0


@every_loop
async def test_cancelled_wait_leaves_nothing_registered(client: SimulatedBackend) -> None:
    """The cancellation ends the wait, although the addresses never become stable."""
    client.set_addresses(stable=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_for_addresses, client)
        await until_waiting(client)
        tasks.cancel_scope.cancel()

    assert client.subscriber_count == 0


@pytest.mark.asyncio_loops
async def test_wait_cancelled_by_its_task_leaves_nothing_registered(
    client: SimulatedBackend,
) -> None:
    """Asyncio's own ``task.cancel()`` ends the wait as well."""
    client.set_addresses(stable=False)
    task = asyncio.ensure_future(wait_for_addresses(client))
    await until_waiting(client)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert client.subscriber_count == 0


def test_wait_whose_loop_was_closed_leaves_nothing_registered(
    client: SimulatedBackend, unraisable: list[sys.UnraisableHookArgs]
) -> None:
    """The first stable addresses find the loop closed, and the reaper then cancels."""
    client.set_addresses(stable=False)
    loop = asyncio.new_event_loop()

    async def main() -> None:
        task = asyncio.ensure_future(wait_for_addresses(client))
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        await until_waiting(client)

    loop.run_until_complete(in_time(main, "the wait"))
    loop.close()
    client.set_addresses()
    gc.collect()

    wait_until(lambda: client.subscriber_count == 0, "the registration is cancelled")
    assert not unraisable


@every_loop
async def test_failure_during_the_wait_is_raised(client: SimulatedBackend) -> None:
    """The backend fails before the addresses are stable."""
    client.set_addresses(stable=False)

    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(BackendFailedError, match="GetTeredoPort"):
                await wait_for_addresses(client)

        tasks.start_soon(wait)
        await until_waiting(client)
        client.fail(BackendError("GetTeredoPort", 31))

    assert client.subscriber_count == 0


@every_loop
async def test_refused_wait_raises_the_error_of_the_backend(
    client: SimulatedBackend,
) -> None:
    """A refused registration and a refused cancellation are raised as they are."""
    error = BackendError("NotifyStableUnicastIpAddressTable", 8)
    for refuse in (client.fail_next_subscribe, client.fail_next_cancel):
        refuse(error)
        with pytest.raises(BackendError) as raised:
            await wait_for_addresses(client)
        assert raised.value is error


@every_loop
async def test_backend_without_addresses_is_unavailable_for_addresses_only() -> None:
    """The error says which method the backend lacks, and its port can still be read."""
    backend = CountingBackend()
    for call in (
        watch_teredo_addresses(backend=backend).__aenter__,
        lambda: get_teredo_addresses(backend=backend),
        lambda: get_teredo_addresses(wait_until_stable=True, backend=backend),
    ):
        with pytest.raises(BackendUnavailableError, match="no method get_addresses, sub"):
            await call()

    assert backend.subscribed == 0
    assert await get_teredo_port(backend=backend) == 1000


@every_loop
async def test_backend_with_a_part_of_the_methods_is_unavailable() -> None:
    """A backend has all methods for addresses or none of them."""

    class Partial(CountingBackend):
        def subscribe_stable_addresses(self, sink: AddressSink) -> Subscription:
            raise AssertionError("called")

    with pytest.raises(
        BackendUnavailableError, match=r"no method get_addresses, subscribe_addresses;"
    ):
        await get_teredo_addresses(wait_until_stable=True, backend=Partial())


@every_loop
@pytest.mark.parametrize("method", ["subscribe_addresses", "subscribe_stable_addresses"])
async def test_result_that_is_not_a_subscription_names_the_method(
    client: SimulatedBackend, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The TypeError names the method of the backend that has returned the wrong object."""

    def returns_none(_self: object, _sink: AddressSink, *, initial: bool = True) -> None:
        pass

    returns_none.__name__ = method
    monkeypatch.setattr(SimulatedBackend, method, returns_none)
    with pytest.raises(TypeError, match=rf"^{method}\(\) of .*Simulated.* not None$"):
        if method == "subscribe_addresses":
            await watch_teredo_addresses(backend=client).__aenter__()
        else:
            await wait_for_addresses(client)


@every_loop
async def test_argument_that_is_not_a_backend_is_refused() -> None:
    """TypeError, before anything is called."""
    with pytest.raises(TypeError, match="backend must be"):
        watch_teredo_addresses(backend=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="backend must be"):
        await get_teredo_addresses(backend=3)  # type: ignore[arg-type]
