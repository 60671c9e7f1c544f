"""The simulated Teredo client."""

from __future__ import annotations

import copy
import errno
import itertools
import pickle
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, NoReturn

import pytest

from aioteredo import (
    BackendError,
    BackendUnavailableError,
    NotificationType,
    PortEvent,
    SimulatedBackend,
    watch_teredo_port,
)
from aioteredo.backends import _notifying_thread, _simulated_client, simulated

from ..support.sinks import RecordingSink
from ..support.waiting import join, start_thread, wait_until

every_loop = pytest.mark.every_loop

ERROR = BackendError("GetTeredoPort", 31)


@pytest.fixture
def client() -> Generator[SimulatedBackend]:
    with SimulatedBackend(1000, seed=1) as client:
        yield client


def test_notifies_on_a_thread_of_its_own(client: SimulatedBackend) -> None:
    """RecordingSink come from one other thread, which ends with the last subscription."""
    names = []

    class Sink(RecordingSink):
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
    assert set(ports) <= set(_simulated_client.DYNAMIC_PORTS)


def test_same_port_is_avoided(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart that draws the present port takes another one."""
    client = SimulatedBackend(50_000)
    monkeypatch.setattr(client._client._random, "sample", lambda *_: [50_000, 50_001])
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
    assert client.get_port() in _simulated_client.DYNAMIC_PORTS
    assert client._client._restart_every == simulated.RESTART_INTERVAL


def test_from_many_threads(client: SimulatedBackend) -> None:
    """Threads that subscribe, change and cancel at once get in nobody's way."""
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


def test_fork_resets() -> None:
    """A child of a fork starts without the thread and the subscriptions."""
    client = SimulatedBackend()
    subscription = client.subscribe(RecordingSink(), initial=False)
    thread = client._client._thread
    _simulated_client._reset_after_fork()
    assert client.subscriber_count == 0
    subscription.cancel()
    assert thread is not None
    thread.stop()


# sinks that misbehave


class Broken(RecordingSink):
    """A sink that raises when it is pushed to, and when it is failed as well."""

    def push(self, port: int | None, notification_type: int) -> None:
        super().push(port, notification_type)
        raise ZeroDivisionError

    def fail(self, error: BackendError) -> None:
        super().fail(error)
        raise MemoryError


def within_time(call: Callable[[], object]) -> None:
    """Make a call that must return within the limit."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "the call does not return"


def test_push_that_raises_fails_that_subscription_only(client: SimulatedBackend) -> None:
    """The others get the event and the next one; the client works on."""
    sinks = [RecordingSink(), Broken(), RecordingSink()]
    subscriptions = [client.subscribe(sink, initial=False) for sink in sinks]
    within_time(lambda: client.set_port(1))
    within_time(lambda: client.set_port(2))
    for subscription in subscriptions:
        within_time(subscription.cancel)
    assert [[port for port, _ in sink.pushed] for sink in sinks] == [[1, 2], [1], [1, 2]]
    assert [len(sink.failed) for sink in sinks] == [0, 1, 0]
    (error,) = sinks[1].failed
    assert (error.function, error.errno) == ("SimulatedBackend", errno.EIO)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert client._client._thread is None


def test_push_that_raises_in_a_restart_by_itself_fails_that_subscription_only() -> None:
    """Nobody waits for such a restart, and still the thread and the others go on."""
    client = SimulatedBackend(restart_every=0.001)
    sinks = [Broken(), RecordingSink()]
    subscriptions = [client.subscribe(sink, initial=False) for sink in sinks]
    wait_until(lambda: len(sinks[1].pushed) > 2, "restarts by itself")
    within_time(lambda: client.set_port(2))
    for subscription in subscriptions:
        within_time(subscription.cancel)
    assert len(sinks[0].pushed) == len(sinks[0].failed) == 1
    assert not sinks[1].failed


def test_restart_by_itself_that_raises_fails_all_subscriptions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error of the restart itself fails the watches, and the thread goes on."""
    client = SimulatedBackend(restart_every=0.001)
    sink = RecordingSink()
    with monkeypatch.context() as patch:
        patch.setattr(client._client._random, "sample", raiser(MemoryError()))
        subscription = client.subscribe(sink, initial=False)
        wait_until(lambda: bool(sink.failed), "a failure")
    within_time(lambda: client.set_port(2))
    within_time(subscription.cancel)
    assert [type(error.__cause__) for error in sink.failed] == [MemoryError]
    assert not sink.pushed


def test_fail_that_raises_fails_the_others_all_the_same(client: SimulatedBackend) -> None:
    """A sink whose ``fail`` raises keeps the failure from nobody, nor the close."""
    sinks = [Broken(), RecordingSink()]
    subscriptions = [client.subscribe(sink, initial=False) for sink in sinks]
    within_time(lambda: client.fail(ERROR))
    for subscription in subscriptions:
        within_time(subscription.cancel)
    assert [len(sink.failed) for sink in sinks] == [1, 1]


def test_initial_push_that_raises_leaves_nothing_registered(
    client: SimulatedBackend,
) -> None:
    """``subscribe`` raises that exception, and neither the sink nor a thread is left."""
    sink = Broken()
    with pytest.raises(ZeroDivisionError):
        client.subscribe(sink, initial=True)
    client.set_port(1)
    assert client.subscriber_count == 0
    assert client._client._thread is None
    assert len(sink.pushed) == 1


# calls that would wait for themselves

CALLS: dict[str, Callable[[SimulatedBackend], object]] = {
    "set_port": lambda client: client.set_port(1),
    "burst": lambda client: client.burst([1]),
    "restart": lambda client: client.restart(),
    "stop": lambda client: client.stop(),
    "fail": lambda client: client.fail(ERROR),
    "close": lambda client: client.close(),
    "subscribe": lambda client: client.subscribe(RecordingSink(), initial=False),
    "cancel": lambda client: next(iter(client._client.subscriptions)).cancel(),
}


@pytest.mark.parametrize("call", CALLS)
def test_call_inside_a_push_is_refused(client: SimulatedBackend, call: str) -> None:
    """On the notifying thread it would wait for itself: RuntimeError, and no change."""
    refused: list[RuntimeError] = []

    class Caller(RecordingSink):
        def push(self, port: int | None, notification_type: int) -> None:
            super().push(port, notification_type)
            with pytest.raises(RuntimeError, match="make it on another thread") as raised:
                CALLS[call](client)
            refused.append(raised.value)

    sink = Caller()
    subscription = client.subscribe(sink, initial=False)
    within_time(lambda: client.set_port(5))
    within_time(subscription.cancel)
    assert len(refused) == 1
    assert [port for port, _ in sink.pushed] == [5]
    assert not sink.failed
    client.set_port(6)  # the thread that was refused is not this one


@pytest.mark.parametrize("watched", [False, True])
def test_call_in_a_finalizer_during_a_call_is_refused(
    client: SimulatedBackend, watched: bool
) -> None:
    """A finalizer can run inside any call, and the call that it makes is refused."""
    sink = RecordingSink()
    if watched:
        subscription = client.subscribe(sink, initial=False)
    client._client._random.sample = lambda *_: client.stop()  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError, match="would wait for itself"):
        client.restart()
    del client._client._random.sample
    client.set_port(1)
    if watched:
        subscription.cancel()


def test_push_may_control_another_client(client: SimulatedBackend) -> None:
    """Only a call of the same client waits for itself."""
    other = SimulatedBackend()

    class Forwarder(RecordingSink):
        def push(self, port: int | None, notification_type: int) -> None:
            other.set_port(port)

    subscriptions = [
        client.subscribe(Forwarder(), initial=False),
        other.subscribe(RecordingSink(), initial=False),
    ]
    within_time(lambda: client.set_port(5))
    assert other.get_port() == 5
    for subscription in subscriptions:
        subscription.cancel()


# the thread


def test_subscriptions_change_on_the_notifying_thread_only(
    client: SimulatedBackend,
) -> None:
    """The thread may be iterating over them at any time, because it restarts by itself."""
    threads: dict[str, str] = {}

    class Table(dict[Any, None]):
        def __setitem__(self, key: Any, value: None) -> None:
            threads["subscribe"] = threading.current_thread().name
            super().__setitem__(key, value)

        def pop(self, *arguments: Any) -> None:
            threads["cancel"] = threading.current_thread().name
            super().pop(*arguments)

        def clear(self) -> None:
            threads["close"] = threading.current_thread().name
            super().clear()

    client._client.subscriptions = Table()
    client.subscribe(RecordingSink(), initial=False).cancel()
    client.subscribe(RecordingSink(), initial=False)
    client.close()
    assert threads == dict.fromkeys(("subscribe", "cancel", "close"), "aioteredo simulated")


class Clock:
    """A clock that the test sets, for the notifying thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(_notifying_thread, "monotonic", lambda: self.now)

    def ports_pushed(self, client: SimulatedBackend, sink: RecordingSink) -> int:
        """How many ports have been pushed, once the thread has read the clock."""
        for _ in range(2):
            client.subscribe(RecordingSink(), initial=False).cancel()
        return len(sink.pushed)


def test_neighbour_that_comes_and_goes_does_not_postpone_the_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Subscribing and cancelling are not controls: the client restarts on time."""
    clock = Clock(monkeypatch)
    client = SimulatedBackend(restart_every=10)
    sink = RecordingSink()
    subscription = client.subscribe(sink, initial=False)
    counts = []
    for clock.now in (4, 8, 9.9, 10.1, 14, 18, 20, 20.2):
        counts.append(clock.ports_pushed(client, sink))
    subscription.cancel()
    assert counts == [0, 0, 0, 1, 1, 1, 1, 2]


def test_control_postpones_the_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """``restart_every`` counts from the last control."""
    clock = Clock(monkeypatch)
    client = SimulatedBackend(restart_every=10)
    sink = RecordingSink()
    subscription = client.subscribe(sink, initial=False)
    clock.now = 9.0
    client.set_port(1)
    clock.now = 18.9
    before = clock.ports_pushed(client, sink)
    clock.now = 19.1
    after = clock.ports_pushed(client, sink)
    subscription.cancel()
    assert (before, after) == (1, 2)


def test_no_thread_to_be_had_leaves_nothing_registered(
    client: SimulatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system that refuses a thread is a BackendError, and the next try works."""
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", raiser(RuntimeError("can't start")))
        with pytest.raises(BackendError) as raised:
            client.subscribe(RecordingSink(), initial=False)
    assert raised.value.errno == errno.EAGAIN
    assert client.subscriber_count == 0
    client.subscribe(RecordingSink(), initial=False).cancel()


# calls that Ctrl-C interrupts


def raiser(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


INTERRUPTED = {
    "while it waits for its turn": (_notifying_thread._Job, "wait"),
    "before the thread is stopped": (_notifying_thread.NotifyingThread, "stop"),
    "while the thread ends": (threading.Thread, "join"),
}


@pytest.mark.parametrize("place", INTERRUPTED)
@pytest.mark.parametrize("between", ["nothing", "a watch", "a control"])
def test_cancel_again_after_an_interruption_completes_it(
    client: SimulatedBackend, place: str, between: str
) -> None:
    """The second call ends the thread, even if the client was used in between."""
    subscription = client.subscribe(RecordingSink(), initial=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*INTERRUPTED[place], raiser(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            subscription.cancel()
    if between == "a watch":
        sink = RecordingSink()
        other = client.subscribe(sink, initial=True)
        within_time(lambda: client.set_port(7))
        other.cancel()
        assert [port for port, _ in sink.pushed] == [1000, 7]
    elif between == "a control":
        within_time(lambda: client.set_port(7))
    within_time(subscription.cancel)
    assert client.subscriber_count == 0
    assert client._client._thread is None


def test_interrupted_subscribe_leaves_nothing_registered(
    client: SimulatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while ``subscribe`` waits for its turn: the registration is undone."""
    subscription = client.subscribe(RecordingSink(), initial=False)
    thread = client._client._thread
    assert thread is not None
    released = threading.Event()
    thread._jobs.put(_notifying_thread._Job(lambda: released.wait(10), False))

    def interrupted(job: _notifying_thread._Job[object]) -> NoReturn:
        monkeypatch.undo()
        threading.Timer(0.1, released.set).start()
        raise KeyboardInterrupt

    monkeypatch.setattr(_notifying_thread._Job, "wait", interrupted)
    sink = RecordingSink()
    with pytest.raises(KeyboardInterrupt):
        client.subscribe(sink, initial=False)
    assert client.subscriber_count == 1
    client.set_port(1)
    subscription.cancel()
    assert not sink.pushed


# copies


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copy_of_a_client_is_refused(
    client: SimulatedBackend, duplicate: Callable[[object], object]
) -> None:
    """A copy would share lock, thread and subscriptions; the error says so."""
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
