"""Watches for addresses on a shared backend."""

from __future__ import annotations

import anyio
import pytest

from aioteredo import (
    AddressEvent,
    Backend,
    BackendUnavailableError,
    NotificationType,
    SimulatedBackend,
    TeredoAddress,
    get_teredo_addresses,
    share,
    watch_teredo_addresses,
    watch_teredo_port,
)

from ..support.kinds import address
from ..support.manual_backend import ManualBackend
from ..support.waiting import eventually
from .sharing import refuse_threads

every_loop = pytest.mark.every_loop

INITIAL = NotificationType.INITIAL


@every_loop
async def test_watches_for_ports_and_for_addresses_have_a_registration_each(
    client: SimulatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later watch for addresses joins the one of its kind, without a thread."""
    shared = share(client)
    client.set_addresses(address(1))
    async with (
        watch_teredo_port(backend=shared),
        watch_teredo_addresses(initial=True, backend=shared) as first,
    ):
        with monkeypatch.context() as patch:
            refuse_threads(patch)
            async with (
                watch_teredo_port(backend=shared),
                watch_teredo_addresses(initial=True, backend=shared) as second,
                watch_teredo_addresses(backend=shared) as third,
            ):
                assert client.subscriber_count == 2
                for events in (first, second):
                    event = await events.receive()
                    assert event == AddressEvent((address(1),), INITIAL)

                client.set_addresses(address(1))  # This changes nothing.
                client.set_addresses(address(2))
                for events in (first, second, third):
                    assert await events.receive() == AddressEvent((address(2),))

    assert client.subscriber_count == 0


@every_loop
async def test_each_wait_for_stable_addresses_has_a_registration_of_its_own(
    client: SimulatedBackend,
) -> None:
    """The stable addresses are pushed once, so a wait cannot join another one."""
    client.set_addresses(address(1), stable=False)
    shared = share(client)
    found: list[object] = []

    async def wait() -> None:
        found.append(await get_teredo_addresses(wait_until_stable=True, backend=shared))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(wait)
        await eventually(lambda: client.subscriber_count == 2, "both waits register")
        client.set_addresses(address(1))

    assert found == [(address(1),)] * 2
    assert client.subscriber_count == 0
    assert await get_teredo_addresses(backend=shared) == (address(1),)


class PortsAndReadOnlyAddresses(ManualBackend):
    def get_addresses(self) -> tuple[TeredoAddress, ...]:
        return ()


class AddressesCannotBeWatched(SimulatedBackend):
    subscribe_addresses = None  # type: ignore[assignment]


@every_loop
@pytest.mark.parametrize(
    ("backend", "missing"),
    [
        (
            ManualBackend(),
            "get_addresses, subscribe_addresses, subscribe_stable_addresses",
        ),
        (
            PortsAndReadOnlyAddresses(),
            "subscribe_addresses, subscribe_stable_addresses",
        ),
        (AddressesCannotBeWatched(), "subscribe_addresses"),
    ],
    ids=["all methods", "two methods", "a method that is None"],
)
async def test_shared_backend_without_addresses_names_the_methods_that_are_missing(
    backend: Backend, missing: str
) -> None:
    """The error is the same as without ``share()``."""
    for each in (backend, share(backend)):
        with pytest.raises(BackendUnavailableError, match=f"has no method {missing};"):
            async with watch_teredo_addresses(backend=each):
                pytest.fail("entered")
