"""The notifying thread of the simulated client, and calls that Ctrl-C interrupts."""

from __future__ import annotations

import errno
import threading
from typing import Any, NoReturn

import pytest

from aioteredo import (
    BackendError,
    SimulatedBackend,
)
from aioteredo.backends import _notifying_thread

from ..support.sinks import RecordingSink
from .calls import raiser, within_time


def test_pushes_come_from_one_thread(client: SimulatedBackend) -> None:
    """All pushes come from one thread, which ends with the last subscription."""
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


def test_subscriptions_change_on_the_notifying_thread_only(
    client: SimulatedBackend,
) -> None:
    """The thread iterates over the subscriptions, so no other thread may change them."""
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
        """Return how many ports have been pushed, once the thread has read the clock."""
        for _ in range(2):
            client.subscribe(RecordingSink(), initial=False).cancel()
        return len(sink.pushed)


def test_other_subscriptions_do_not_postpone_the_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Subscribing and cancelling are not controls, so the client restarts on time."""
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


def test_refused_thread_leaves_nothing_registered(
    client: SimulatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the system refuses a thread, BackendError is raised, and the next call works."""
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", raiser(RuntimeError("can't start")))
        with pytest.raises(BackendError) as raised:
            client.subscribe(RecordingSink(), initial=False)
    assert raised.value.errno == errno.EAGAIN
    assert client.subscriber_count == 0
    client.subscribe(RecordingSink(), initial=False).cancel()


INTERRUPTED = {
    "while it waits for its turn": (_notifying_thread._Job, "wait"),
    "before the thread is stopped": (_notifying_thread.NotifyingThread, "stop"),
    "while the thread ends": (threading.Thread, "join"),
}


@pytest.mark.parametrize("place", INTERRUPTED)
@pytest.mark.parametrize("between", ["nothing", "a watch", "a control"])
def test_second_cancel_completes_an_interrupted_one(
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
    """Ctrl-C while ``subscribe()`` waits for the thread undoes the registration."""
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
