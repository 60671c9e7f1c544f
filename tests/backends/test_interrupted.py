"""Ctrl-C during subscribing or cancelling: the next call completes the interrupted one."""

from __future__ import annotations

import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from types import SimpleNamespace

import pytest

from aioteredo import BackendError, BackendUnavailableError, MiredoBackend, SimulatedBackend
from aioteredo.backends.iphlpapi import _subscription as _iphlpapi_subscription
from aioteredo.backends.miredo import _subscription as _miredo_subscription
from aioteredo.backends.miredo._subscription import MiredoSubscription

from ..native import StandIn
from ..support.interruption import Alarm, is_free, once, open_descriptors
from ..support.python import output_of
from ..support.requirements import require
from ..support.sinks import RecordingSink

REPETITIONS = 500


@pytest.fixture
def miredo() -> MiredoBackend:
    if sys.platform != "linux":
        pytest.skip("Miredo is Linux'")
    backend = MiredoBackend(uid=54_321)
    try:
        backend.get_port()
    except BackendUnavailableError as error:
        require("miredo", str(error))
    return backend


STRESS = """
import random, sys
from aioteredo import IphlpapiBackend, MiredoBackend, SimulatedBackend
from aioteredo.backends.iphlpapi import _subscription as _iphlpapi_subscription
from aioteredo.backends.miredo import _subscription as _miredo_subscription
from tests.support.interruption import Alarm, Interruption, open_descriptors
from tests.support.sinks import RecordingSink

dropped = []
# Python drops an exception that a signal handler raises inside a weakref's callback.
sys.unraisablehook = lambda hook: dropped.append(hook.exc_type)
backend = {backend}
backend.subscribe(RecordingSink(), initial=False).cancel()
descriptors = open_descriptors()
interrupted = 0
with Alarm() as alarm:
    for _ in range({repetitions}):
        subscription = backend.subscribe(RecordingSink(), initial=False)
        interrupted += alarm.call(random.uniform(1e-6, 2e-4), subscription.cancel)
        subscription.cancel()
assert interrupted > 0
assert set(dropped) <= {{Interruption}}, dropped
assert open_descriptors() == descriptors
assert not _iphlpapi_subscription._subscriptions
assert not _miredo_subscription._subscriptions
assert not [t for t in __import__("threading").enumerate() if "aioteredo" in t.name]
{check}
"""


def stress(backend: str, check: str = "") -> None:
    """Interrupt cancel() at random moments, in a process without coverage.

    An interruption would leave the lock of coverage's tracer held.
    """
    if not hasattr(signal, "setitimer"):
        pytest.skip("Windows has no such timer")
    code = STRESS.format(backend=backend, repetitions=REPETITIONS, check=check)
    assert output_of(code) == ""


def test_simulated_interrupted_anywhere_is_completed_by_the_next_call() -> None:
    """After a signal anywhere in ``cancel()``, the second call leaves nothing behind."""
    stress("SimulatedBackend()", "assert backend.subscriber_count == 0")


def test_iphlpapi_interrupted_anywhere_is_cancelled_natively_once(
    stand_in: StandIn,
) -> None:
    """After a signal anywhere in ``cancel()``, the system's function is called once."""
    check = f"""
from tests.native import StandIn
stand_in = StandIn({stand_in.library!r})
assert stand_in.cancelled == stand_in.registered == {REPETITIONS + 1}
assert stand_in.misused == 0
"""
    stress(f"IphlpapiBackend({stand_in.library!r})", check)


@pytest.mark.usefixtures("miredo")
def test_miredo_interrupted_anywhere_is_completed_by_the_next_call() -> None:
    """After a signal anywhere in ``cancel()``, no thread and no descriptor is left."""
    stress("MiredoBackend(uid=54_321)")


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("call", ["cancel", "notify"])
def test_iphlpapi_interrupted_while_it_locks_leaves_the_lock_free(
    stand_in: StandIn, call: str, before: bool
) -> None:
    """A held lock would block the next callback, and CancelMibChangeNotify2 with it."""
    subscription = stand_in.backend.subscribe(RecordingSink(), initial=False)
    lock = subscription._lock
    acquire = once(lock.acquire, before=before)
    interrupted = SimpleNamespace(acquire=acquire, release=lock.release)
    subscription._lock = interrupted  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        subscription.cancel() if call == "cancel" else subscription.notify(1, 0)
    assert is_free(lock)
    subscription._lock = threading.RLock()  # the thread that has tried it holds the other
    subscription.cancel()
    assert (stand_in.cancelled, stand_in.misused) == (1, 0)


@pytest.mark.parametrize("before", [True, False])
def test_simulated_interrupted_while_it_locks_leaves_the_lock_free(before: bool) -> None:
    """A held lock would block every later call on another thread."""
    client = SimulatedBackend()
    lock = client._client._turns._lock
    acquire = once(lock.acquire, before=before)
    interrupted = SimpleNamespace(acquire=acquire, release=lock.release)
    client._client._turns._lock = interrupted  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        client.set_port(1)
    assert is_free(lock)
    client._client._turns._lock = threading.RLock()
    client.set_port(2)  # nor does this thread count as being inside a call


@pytest.mark.parametrize("before", [True, False])
def test_iphlpapi_interrupted_while_detaching_cancels_natively_once(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """After Ctrl-C before the native call, the second ``cancel()`` makes it."""
    subscription = stand_in.backend.subscribe(RecordingSink(), initial=False)
    detach = once(subscription._detach, before=before)
    monkeypatch.setattr(subscription, "_detach", detach)
    with pytest.raises(KeyboardInterrupt):
        subscription.cancel()
    assert stand_in.cancelled == 0
    subscription.cancel()
    subscription.cancel()
    assert (stand_in.cancelled, stand_in.misused) == (1, 0)


def test_iphlpapi_interrupted_after_the_native_call_does_not_repeat_it(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C during the native call, the handle is not used again."""
    backend = stand_in.backend
    subscription = backend.subscribe(RecordingSink(), initial=False)
    native_cancel = once(subscription._native_cancel, before=False)
    monkeypatch.setattr(subscription, "_native_cancel", native_cancel)
    with pytest.raises(KeyboardInterrupt):
        subscription.cancel()
    subscription.cancel()
    assert (stand_in.cancelled, stand_in.misused) == (1, 0)


def test_iphlpapi_cancel_that_the_system_refused_is_not_repeated(
    stand_in: StandIn,
) -> None:
    """A refused handle is not used again, because it may belong to another program part."""
    subscription = stand_in.backend.subscribe(RecordingSink(), initial=False)
    stand_in.fail("CancelMibChangeNotify2", 87)
    with pytest.raises(BackendError):
        subscription.cancel()
    subscription.cancel()
    assert stand_in.cancelled == 1
    stand_in.reset()


@pytest.mark.parametrize("before", [True, False])
def test_iphlpapi_interrupted_while_subscribing_leaves_nothing_registered(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Ctrl-C before or after NotifyTeredoPortChange leaves no registration."""
    backend = stand_in.backend
    ports = backend._ports
    monkeypatch.setattr(ports, "notify", once(ports.notify, before=before))
    with pytest.raises(KeyboardInterrupt):
        backend.subscribe(RecordingSink(), initial=False)
    assert stand_in.cancelled == stand_in.registered == (0 if before else 1)
    assert stand_in.misused == 0
    assert not _iphlpapi_subscription._subscriptions


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("place", ["join", "close"])
def test_miredo_interrupted_while_cancelling_is_completed_by_the_next_call(
    miredo: MiredoBackend, monkeypatch: pytest.MonkeyPatch, place: str, before: bool
) -> None:
    """The second ``cancel()`` waits for the thread and closes the descriptors."""
    descriptors = open_descriptors()
    subscription = miredo.subscribe(RecordingSink(), initial=False)
    owner = subscription._thread if place == "join" else subscription._resources
    monkeypatch.setattr(owner, place, once(getattr(owner, place), before=before))
    with pytest.raises(KeyboardInterrupt):
        subscription.cancel()
    subscription.cancel()
    subscription.cancel()
    assert not subscription._thread.is_alive()
    assert subscription not in _miredo_subscription._subscriptions
    assert open_descriptors() == descriptors


def test_miredo_interrupted_cancel_still_waits_for_a_running_push(
    miredo: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call after an interrupted one returns only when the push has returned."""
    pushing = threading.Event()
    released = threading.Event()

    def push_for_a_while(subscription: MiredoSubscription[int | None]) -> None:
        pushing.set()
        assert released.wait(10)
        assert list(subscription._source.changes()) == []  # the descriptors are open

    monkeypatch.setattr(MiredoSubscription, "_watch", push_for_a_while)
    sink = RecordingSink()
    subscription = miredo.subscribe(sink, initial=False)
    assert pushing.wait(10)
    with Alarm() as alarm:
        for _ in range(2):
            assert alarm.call(0.05, subscription.cancel)
    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(subscription.cancel)
        done, _ = wait([cancelling], 0.1)
        released.set()
        assert not done
        cancelling.result(10)
    assert not sink.failed
