"""The addresses of the simulated client, and the controls that change them."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from aioteredo import (
    BackendError,
    NotificationType,
    SimulatedBackend,
    TeredoAddress,
    watch_teredo_addresses,
    watch_teredo_port,
)
from aioteredo.backends import simulated

from ..support.kinds import address
from .calls import within_time

every_loop = pytest.mark.every_loop

INITIAL = NotificationType.INITIAL
PARAMETER = NotificationType.PARAMETER


class AddressRecorder:
    """A sink for addresses that keeps everything it gets."""

    def __init__(self) -> None:
        self.pushed: list[tuple[tuple[TeredoAddress, ...], int]] = []
        self.failed: list[BackendError] = []

    def push(self, addresses: tuple[TeredoAddress, ...], notification_type: int) -> None:
        self.pushed.append((addresses, notification_type))

    def fail(self, error: BackendError) -> None:
        self.failed.append(error)


def test_addresses_are_set_as_text_or_as_objects(client: SimulatedBackend) -> None:
    """The client has the given addresses only, and none without an argument."""
    assert client.get_addresses() == ()
    client.set_addresses(str(address(2)), address(1))
    assert client.get_addresses() == (address(2), address(1))
    assert {type(each) for each in client.get_addresses()} == {TeredoAddress}
    client.set_addresses()
    assert client.get_addresses() == ()


def test_address_of_another_network_is_refused(client: SimulatedBackend) -> None:
    """ValueError, and no address is set."""
    with pytest.raises(ValueError, match="Teredo address"):
        client.set_addresses(address(1), "2001:db8::1")
    assert client.get_addresses() == ()


def test_tuple_of_addresses_in_one_argument_is_refused(client: SimulatedBackend) -> None:
    """The error says that each address is an argument of its own."""
    with pytest.raises(TypeError, match="each an argument of its own"):
        client.set_addresses((str(address(1)), str(address(2))))  # type: ignore[arg-type]
    assert client.get_addresses() == ()


def test_restart_that_makes_addresses_equal_leaves_one(client: SimulatedBackend) -> None:
    """Two addresses that differ in the mapped port only get the same new port."""
    client.set_addresses(address(1), address(2))
    port = client.restart()
    (remaining,) = client.get_addresses()
    assert remaining.mapped_port == port


def test_restart_changes_the_mapped_port_of_each_address(client: SimulatedBackend) -> None:
    """The other fields stay, and the port is the new port of the client."""
    client.set_addresses(address(1), "2001:0:c633:6402:8000:63bf:3fff:fdd2")
    before = client.get_addresses()
    port = client.restart()

    after = client.get_addresses()
    assert [each.mapped_port for each in after] == [port, port]
    for old, new in zip(before, after, strict=True):
        assert (new.server, new.flags) == (old.server, old.flags)
        assert new.mapped_address == old.mapped_address


def test_restart_does_not_make_the_addresses_stable(client: SimulatedBackend) -> None:
    """A client that is still qualifying when it restarts goes on to qualify."""
    client.set_addresses(address(1), stable=False)
    sink = AddressRecorder()
    subscription = client.subscribe_stable_addresses(sink)
    port = client.restart()
    assert not sink.pushed

    client.set_addresses(*client.get_addresses())
    subscription.cancel()
    assert sink.pushed == [((address(port),), INITIAL)]


def test_stop_takes_the_port_and_the_addresses_away(client: SimulatedBackend) -> None:
    """A client that is not running has neither; the addresses are stable without any."""
    client.set_addresses(address(1), stable=False)
    sink = AddressRecorder()
    subscription = client.subscribe_stable_addresses(sink)
    client.stop()
    subscription.cancel()

    assert client.get_port() is None
    assert client.get_addresses() == ()
    assert sink.pushed == [((), INITIAL)]


def test_set_port_leaves_the_addresses(client: SimulatedBackend) -> None:
    """Only a restart changes both."""
    client.set_addresses(address(1))
    client.set_port(5)
    assert client.get_addresses() == (address(1),)


def test_each_sink_gets_its_own_kind_of_values(client: SimulatedBackend) -> None:
    """A sink for addresses gets no port, and a sink for ports no addresses."""
    sink = AddressRecorder()
    subscription = client.subscribe_addresses(sink, initial=True)
    client.set_port(5)
    client.set_addresses(address(1))
    subscription.cancel()
    assert sink.pushed == [((), INITIAL), ((address(1),), PARAMETER)]


def test_without_initial_only_changes_are_pushed(client: SimulatedBackend) -> None:
    client.set_addresses(address(1))
    sink = AddressRecorder()
    subscription = client.subscribe_addresses(sink, initial=False)
    client.set_addresses(address(2))
    subscription.cancel()
    assert sink.pushed == [((address(2),), PARAMETER)]


def test_call_inside_a_push_of_addresses_is_refused(client: SimulatedBackend) -> None:
    """RuntimeError instead of a deadlock, as in a push of a port."""
    refused = []

    class Caller(AddressRecorder):
        def push(
            self, addresses: tuple[TeredoAddress, ...], notification_type: int
        ) -> None:
            with pytest.raises(RuntimeError, match="make it on another thread"):
                client.set_addresses()
            refused.append(addresses)

    subscription = client.subscribe_addresses(Caller(), initial=False)
    within_time(lambda: client.set_addresses(address(1)))
    within_time(subscription.cancel)
    assert refused == [(address(1),)]


def test_fail_fails_all_sinks(client: SimulatedBackend) -> None:
    """The sinks for addresses, and those that wait for stable ones, fail as well."""
    client.set_addresses(stable=False)
    error = BackendError("GetTeredoPort", 31)
    sinks = [AddressRecorder(), AddressRecorder()]
    subscriptions = [
        client.subscribe_addresses(sinks[0], initial=False),
        client.subscribe_stable_addresses(sinks[1]),
    ]
    assert client.subscriber_count == 2
    client.fail(error)
    for subscription in subscriptions:
        subscription.cancel()
    assert [sink.failed for sink in sinks] == [[error], [error]]


@every_loop
async def test_client_of_the_name_changes_the_port_and_the_address() -> None:
    """The address of the client "simulated" contains its port, after each restart."""
    client = simulated.restarting_client()
    async with (
        watch_teredo_port(backend=client) as ports,
        watch_teredo_addresses(initial=True, backend=client) as events,
    ):
        (before,) = (await events.receive()).addresses
        assert before.mapped_port == client.get_port()
        client.restart()
        (after,) = (await events.receive()).addresses
        assert (await ports.receive()).port == after.mapped_port != before.mapped_port

    assert str(after.server) == "198.51.100.1"
    assert str(after.mapped_address) == "203.0.113.7"


@every_loop
async def test_service_that_follows_the_address_can_be_tested(
    client: SimulatedBackend,
) -> None:
    """``wait_until_drained`` waits for the consumers of addresses as well."""
    published: list[TeredoAddress] = []

    async def publish(*, task_status: TaskStatus[None]) -> None:
        async with watch_teredo_addresses(backend=client) as events:
            task_status.started()
            async for event in events:
                await checkpoint()
                published[:] = event.addresses

    async with anyio.create_task_group() as tasks:
        await tasks.start(publish)
        client.set_addresses(address(1))
        await client.wait_until_drained()
        assert published == [address(1)]

        client.stop()
        await client.wait_until_drained()
        assert published == []
        tasks.cancel_scope.cancel()
