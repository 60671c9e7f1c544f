"""Sinks that raise, and calls of the simulated client that would wait for themselves."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from aioteredo import (
    BackendError,
    SimulatedBackend,
)

from ..support.sinks import RecordingSink
from ..support.waiting import wait_until
from .calls import raiser, within_time

ERROR = BackendError("GetTeredoPort", 31)


class RaisingSink(RecordingSink):
    """A sink that raises when it is pushed to, and when it is failed as well."""

    def push(self, port: int | None, notification_type: int) -> None:
        super().push(port, notification_type)
        raise ZeroDivisionError

    def fail(self, error: BackendError) -> None:
        super().fail(error)
        raise MemoryError


def test_push_that_raises_fails_that_subscription_only(client: SimulatedBackend) -> None:
    """The other sinks get this event and the next one."""
    sinks = [RecordingSink(), RaisingSink(), RecordingSink()]
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
    """The thread and the other sinks go on, though no caller waits for the restart."""
    client = SimulatedBackend(restart_every=0.001)
    sinks = [RaisingSink(), RecordingSink()]
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
    """An exception of the restart itself fails all sinks, and the thread goes on."""
    client = SimulatedBackend(restart_every=0.001)
    sink = RecordingSink()
    with monkeypatch.context() as patch:
        patch.setattr(client._client.state._random, "sample", raiser(MemoryError()))
        subscription = client.subscribe(sink, initial=False)
        wait_until(lambda: bool(sink.failed), "a failure")
    within_time(lambda: client.set_port(2))
    within_time(subscription.cancel)
    assert [type(error.__cause__) for error in sink.failed] == [MemoryError]
    assert not sink.pushed


def test_fail_that_raises_does_not_prevent_the_other_failures(
    client: SimulatedBackend,
) -> None:
    """A sink whose ``fail()`` raises does not keep the failure from the other sinks."""
    sinks = [RaisingSink(), RecordingSink()]
    subscriptions = [client.subscribe(sink, initial=False) for sink in sinks]
    within_time(lambda: client.fail(ERROR))
    for subscription in subscriptions:
        within_time(subscription.cancel)
    assert [len(sink.failed) for sink in sinks] == [1, 1]


def test_initial_push_that_raises_leaves_nothing_registered(
    client: SimulatedBackend,
) -> None:
    """``subscribe()`` raises the exception, and neither the sink nor the thread is left."""
    sink = RaisingSink()
    with pytest.raises(ZeroDivisionError):
        client.subscribe(sink, initial=True)
    client.set_port(1)
    assert client.subscriber_count == 0
    assert client._client._thread is None
    assert len(sink.pushed) == 1


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
    """A call on the notifying thread would wait for itself: RuntimeError, and no change."""
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
    """A finalizer can run during any call; a call that it makes raises RuntimeError."""
    sink = RecordingSink()
    if watched:
        subscription = client.subscribe(sink, initial=False)
    client._client.state._random.sample = lambda *_: client.stop()  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError, match="would wait for itself"):
        client.restart()
    del client._client.state._random.sample
    client.set_port(1)
    if watched:
        subscription.cancel()


def test_push_can_control_another_client(client: SimulatedBackend) -> None:
    """Only a call of the same client would wait for itself."""
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
