"""The controls of the simulated client."""

from __future__ import annotations

import copy
import errno
import itertools
import pickle
from collections.abc import Callable
from functools import partial

import pytest

from aioteredo import (
    BackendError,
    BackendUnavailableError,
    NotificationType,
    SimulatedBackend,
    watch_teredo_port,
)
from aioteredo.backends import _simulated_client, _simulated_state, simulated

from ..support.kinds import Kind
from ..support.sinks import RecordingSink
from ..support.waiting import join, start_thread

every_loop = pytest.mark.every_loop

ERROR = BackendError("GetTeredoPort", 31)


def test_controls_work_without_a_subscriber(client: SimulatedBackend) -> None:
    """Every control works without a watch."""
    client.set_port(5)
    assert client.get_port() == 5
    client.stop()
    assert client.get_port() is None
    assert client.restart() == client.get_port()
    client.fail(ERROR)
    assert client.subscriber_count == 0


def test_restart_gives_another_port() -> None:
    """Each port is a dynamic one unlike the last; one seed gives the same ports."""
    first = SimulatedBackend(seed=7)
    second = SimulatedBackend(seed=7)
    ports = [first.restart() for _ in range(1000)]
    assert ports == [second.restart() for _ in range(1000)]
    assert all(a != b for a, b in itertools.pairwise(ports))
    assert set(ports) <= set(_simulated_state.DYNAMIC_PORTS)


def test_restart_that_draws_the_same_port_takes_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the random port is the present one, the second random port is taken."""
    client = SimulatedBackend(50_000)
    monkeypatch.setattr(client._client.state._random, "sample", lambda *_: [50_000, 50_001])
    assert client.restart() == 50_001


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_port_out_of_range_is_refused(client: SimulatedBackend, port: int) -> None:
    """The ValueError names the port, and no port is set."""
    with pytest.raises(ValueError, match=f"^port must be .* not {port}"):
        SimulatedBackend(port)
    with pytest.raises(ValueError, match="^port must be"):
        client.burst([5, port])
    assert client.get_port() == 1000


def test_port_that_is_not_an_integer_is_refused(client: SimulatedBackend) -> None:
    """The TypeError names the argument and its value."""
    with pytest.raises(TypeError, match="^port must be an integer or None, not '5'"):
        client.set_port("5")  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_interval_out_of_range_is_refused(seconds: float) -> None:
    """The ValueError names ``restart_every``."""
    with pytest.raises(ValueError, match="^restart_every must be"):
        SimulatedBackend(restart_every=seconds)


def test_fault_that_is_not_a_teredo_error_is_refused(client: SimulatedBackend) -> None:
    """The TypeError names the class that each control accepts."""
    for inject in (client.fail, client.fail_next_subscribe, client.fail_next_cancel):
        with pytest.raises(TypeError, match="^error must be a .*Error, not"):
            inject(OSError())  # type: ignore[arg-type]


@every_loop
async def test_fail_next_subscribe_fails_one_registration(
    client: SimulatedBackend, kind: Kind
) -> None:
    """The next registration raises the error, and the one after it works."""
    client.fail_next_subscribe(BackendUnavailableError("gone"))
    with pytest.raises(BackendUnavailableError, match="gone"):
        async with kind.watch(backend=client):
            pytest.fail("entered")
    async with kind.watch(backend=client):
        assert client.subscriber_count == 1


@every_loop
async def test_fail_ends_open_watches_and_no_later_one(
    client: SimulatedBackend, kind: Kind
) -> None:
    """Open watches fail after their events; a watch that is opened later works."""
    async with kind.watch(backend=client) as events:
        kind.change(client, 1)
        client.fail(ERROR)
        client.fail(ERROR)
        kind.change(client, 2)
        assert await events.receive() == kind.event(1)
        with pytest.raises(BackendError):
            await events.receive()
        async with kind.watch(initial=True, backend=client) as others:
            assert await others.receive() == kind.event(2, NotificationType.INITIAL)


@every_loop
async def test_close_fails_open_watches(client: SimulatedBackend, kind: Kind) -> None:
    """An open watch raises BackendError with ESHUTDOWN, and no thread is left."""
    async with kind.watch(backend=client) as events:
        client.close()
        client.close()
        assert client.subscriber_count == 0
        with pytest.raises(BackendError) as raised:
            await events.receive()
        assert raised.value.errno == errno.ESHUTDOWN


@every_loop
async def test_client_with_an_interval_restarts_by_itself() -> None:
    """With ``restart_every``, changes come without a control while there is a watch."""
    client = SimulatedBackend(restart_every=0.001)
    async with watch_teredo_port(backend=client) as events:
        ports = {(await events.receive()).port for _ in range(3)}
    assert len(ports) > 1


def test_backend_of_the_name_restarts_by_itself() -> None:
    """The name "simulated" stands for a client that has a port and an interval."""
    client = simulated.restarting_client()
    assert client.get_port() in _simulated_state.DYNAMIC_PORTS
    assert client._client._restart_every == simulated.RESTART_INTERVAL


def test_threads_can_subscribe_change_and_cancel_at_once(client: SimulatedBackend) -> None:
    """No call fails, and each sink gets its initial event first."""
    sinks = [RecordingSink() for _ in range(200)]

    def use(mine: list[RecordingSink]) -> None:
        for sink in mine:
            subscription = client.subscribe(sink, initial=True)
            client.restart()
            subscription.cancel()

    join(*[start_thread(partial(use, sinks[i : i + 50])) for i in (0, 50, 100, 150)])
    assert client.subscriber_count == 0
    for sink in sinks:
        assert sink.pushed[0][1] == NotificationType.INITIAL
        assert len(sink.pushed) >= 2


def test_child_of_a_fork_has_no_subscriptions() -> None:
    """The child starts without the thread and the subscriptions of the parent."""
    client = SimulatedBackend()
    subscription = client.subscribe(RecordingSink(), initial=False)
    thread = client._client._thread
    _simulated_client._reset_after_fork()
    assert client.subscriber_count == 0
    subscription.cancel()
    assert thread is not None
    thread.stop()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copy_of_a_client_is_refused(
    client: SimulatedBackend, duplicate: Callable[[object], object]
) -> None:
    """The TypeError says why, and to make another client."""
    with pytest.raises(TypeError, match="cannot be copied or pickled.*make another"):
        duplicate(client)


@every_loop
@pytest.mark.parametrize("call", ["fail", "close"])
async def test_each_consumer_raises_a_failure_of_its_own(
    client: SimulatedBackend, call: str
) -> None:
    """Several tasks raise one failure at the same time, so each gets its own object."""
    given = BackendError("GetTeredoPort", 31)
    given.__cause__ = cause = ZeroDivisionError()
    failures: list[BackendError] = []
    async with (
        watch_teredo_port(backend=client) as first,
        watch_teredo_port(backend=client) as second,
    ):
        client.fail(given) if call == "fail" else client.close()
        for events in (first, second):
            with pytest.raises(BackendError) as raised:
                await events.receive()
            failures.append(raised.value)
    assert failures[0] is not failures[1]
    assert [failure.__cause__ for failure in failures] == [
        cause if call == "fail" else None
    ] * 2
