"""The simulated Teredo client."""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Generator

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.abc import TaskStatus

from aioteredo import (
    BackendError,
    BackendUnavailableError,
    NotificationType,
    PortEvent,
    SimulatedBackend,
    watch_teredo_port,
)
from aioteredo.backends import simulated

from .test_iphlpapi import Pushes

every_loop = pytest.mark.every_loop

ERROR = BackendError("GetTeredoPort", 31)


@pytest.fixture
def client() -> Generator[SimulatedBackend]:
    with SimulatedBackend(1000, seed=1) as client:
        yield client


@every_loop
async def test_handled_after_a_control(client: SimulatedBackend) -> None:
    """A control, then ``wait_all_tasks_blocked``: the consumer has handled the event."""
    mirror = {}

    async def follow(*, task_status: TaskStatus[None]) -> None:
        async with watch_teredo_port(initial=True, backend=client) as events:
            task_status.started()
            async for event in events:
                mirror["port"] = event.port

    async with anyio.create_task_group() as tasks:
        await tasks.start(follow)
        await wait_all_tasks_blocked()
        assert mirror["port"] == 1000
        for port in (1, 65535, None):
            client.set_port(port)
            await wait_all_tasks_blocked()
            assert mirror["port"] == port
        port = client.restart()
        await wait_all_tasks_blocked()
        assert mirror["port"] == port
        tasks.cancel_scope.cancel()


def test_notifies_on_a_thread_of_its_own(client: SimulatedBackend) -> None:
    """Pushes come from one other thread, which ends with the last subscription."""
    names = []

    class Sink(Pushes):
        def push(self, port: int | None, notification_type: int) -> None:
            names.append(threading.current_thread().name)

    subscriptions = [client.subscribe(Sink(), initial=True) for _ in range(2)]
    client.burst([1, 2])
    assert client.subscriber_count == 2
    for subscription in subscriptions:
        subscription.cancel()
    assert set(names) == {"aioteredo simulated"}
    assert len(names) == 6
    assert not [t for t in threading.enumerate() if t.name == names[0]]


def test_without_a_subscriber(client: SimulatedBackend) -> None:
    """Controls work without a subscriber too."""
    client.set_port(5)
    assert client.get_port() == 5
    client.stop()
    assert client.get_port() is None
    assert client.restart() == client.get_port()
    client.fail(ERROR)
    assert client.subscriber_count == 0


def test_restart_is_another_port() -> None:
    """Each restart gives another port of the dynamic range, the same for one seed."""
    first, second = SimulatedBackend(seed=7), SimulatedBackend(seed=7)
    ports = [first.restart() for _ in range(1000)]
    assert ports == [second.restart() for _ in range(1000)]
    assert all(a != b for a, b in itertools.pairwise(ports))
    assert set(ports) <= set(simulated.DYNAMIC_PORTS)


def test_same_port_is_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart that draws the present port takes another one."""
    client = SimulatedBackend(50_000)
    monkeypatch.setattr(client._random, "sample", lambda *_: [50_000, 50_001])
    assert client.restart() == 50_001


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_port_out_of_range(client: SimulatedBackend, port: int) -> None:
    """A port that is none is refused, and nothing is set."""
    with pytest.raises(ValueError, match=f"^port must be .* not {port}"):
        SimulatedBackend(port)
    with pytest.raises(ValueError, match="^port must be"):
        client.burst([5, port])
    assert client.get_port() == 1000


def test_port_of_a_wrong_type(client: SimulatedBackend) -> None:
    """A port that is no integer is refused."""
    with pytest.raises(TypeError, match="^port must be an integer or None, not '5'"):
        client.set_port("5")  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_interval_out_of_range(seconds: float) -> None:
    """An interval that no thread can wait is refused."""
    with pytest.raises(ValueError, match="^restart_every must be"):
        SimulatedBackend(restart_every=seconds)


def test_fault_that_is_no_error(client: SimulatedBackend) -> None:
    """A fault must be an error that a backend may raise."""
    for inject in (client.fail, client.fail_next_subscribe, client.fail_next_cancel):
        with pytest.raises(TypeError, match="^error must be a .*Error, not"):
            inject(OSError())  # type: ignore[arg-type]


@every_loop
async def test_fail_next_subscribe(client: SimulatedBackend) -> None:
    """One registration fails; the next one works."""
    client.fail_next_subscribe(BackendUnavailableError("gone"))
    with pytest.raises(BackendUnavailableError, match="gone"):
        async with watch_teredo_port(backend=client):
            pytest.fail("entered")
    async with watch_teredo_port(backend=client):
        assert client.subscriber_count == 1


@every_loop
async def test_fail_later(client: SimulatedBackend) -> None:
    """Open watches fail after their events and get no more; a new one works."""
    async with watch_teredo_port(backend=client) as events:
        client.set_port(1)
        client.fail(ERROR)
        client.fail(ERROR)
        client.set_port(2)
        assert await events.receive() == PortEvent(1)
        with pytest.raises(BackendError):
            await events.receive()
        async with watch_teredo_port(initial=True, backend=client) as others:
            assert await others.receive() == PortEvent(2, NotificationType.INITIAL)


@every_loop
async def test_closed_with_a_watch_open(client: SimulatedBackend) -> None:
    """The end of the client fails what is open, and leaves no thread."""
    async with watch_teredo_port(backend=client) as events:
        client.close()
        client.close()
        assert client.subscriber_count == 0
        with pytest.raises(BackendError) as raised:
            await events.receive()
        assert raised.value.errno == errno.ESHUTDOWN


@every_loop
async def test_restarts_by_itself() -> None:
    """With ``restart_every`` changes come by themselves while it is watched."""
    client = SimulatedBackend(restart_every=0.001)
    async with watch_teredo_port(backend=client) as events:
        ports = {(await events.receive()).port for _ in range(3)}
    assert len(ports) > 1


def test_by_name() -> None:
    """The name stands for a client with a port that restarts every few seconds."""
    client = simulated.restarting_client()
    assert client.get_port() in simulated.DYNAMIC_PORTS
    assert client._restart_every == simulated.RESTART_INTERVAL


def test_from_many_threads(client: SimulatedBackend) -> None:
    """Threads that subscribe, change and cancel at once get in nobody's way."""
    sinks = [Pushes() for _ in range(200)]

    def use(mine: list[Pushes]) -> None:
        for sink in mine:
            subscription = client.subscribe(sink, initial=True)
            client.restart()
            subscription.cancel()

    threads = [
        threading.Thread(target=use, args=(sinks[i : i + 50],)) for i in (0, 50, 100, 150)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.subscriber_count == 0
    for sink in sinks:
        assert sink.pushed[0][1] == NotificationType.INITIAL
        assert len(sink.pushed) >= 2


def test_fork_resets() -> None:
    """A child of a fork starts without the thread and the subscriptions."""
    client = SimulatedBackend()
    subscription = client.subscribe(Pushes(), initial=False)
    thread = client._thread
    simulated._reset_after_fork()
    assert client.subscriber_count == 0
    subscription.cancel()
    assert thread is not None
    thread.stop()


def test_job_that_raises() -> None:
    """An exception on the notifying thread reaches who asked; the thread goes on."""

    class Broken(Pushes):
        def push(self, port: int | None, notification_type: int) -> None:
            raise ZeroDivisionError

    client = SimulatedBackend(1)
    subscription = client.subscribe(Broken(), initial=False)
    with pytest.raises(ZeroDivisionError):
        client.set_port(2)
    subscription.cancel()
