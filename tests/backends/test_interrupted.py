"""Ctrl-C in the middle of subscribing or cancelling, as an interpreter's exit allows.

A signal handler's exception can come at many places of ``cancel``. Whoever was
interrupted calls it again, and that call must complete what the first one began.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from aioteredo import BackendError, BackendUnavailableError, MiredoBackend, SimulatedBackend
from aioteredo.backends import iphlpapi
from aioteredo.backends.miredo import _subscription as _miredo_subscription

from ..native import StandIn
from ..support.requirements import require
from ..support.sinks import RecordingSink

REPETITIONS = 500


class Interruption(BaseException):
    """What the signal handler raises, so that no other Ctrl-C counts."""


class Alarm:
    """A timer whose signal raises an exception in the main thread."""

    def __init__(self) -> None:
        self._armed = False

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGALRM, self._interrupt)  # type: ignore[attr-defined,unused-ignore]
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGALRM, self._previous)  # type: ignore[attr-defined,unused-ignore]

    def _interrupt(self, *_: object) -> None:
        if self._armed:  # another thread may have received the signal late
            self._armed = False
            raise Interruption

    def call(self, seconds: float, function: Callable[[], object]) -> bool:
        """Call the function.

        :return: whether the alarm has interrupted it
        """
        try:
            try:
                self._armed = True
                signal.setitimer(signal.ITIMER_REAL, seconds)  # type: ignore[attr-defined,unused-ignore]
                function()
            finally:
                self._armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)  # type: ignore[attr-defined,unused-ignore]
        except Interruption:
            return True
        return False


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


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0


STRESS = """
import random, sys
sys.path.insert(0, {root!r})
from aioteredo import IphlpapiBackend, MiredoBackend, SimulatedBackend
from aioteredo.backends import iphlpapi
from aioteredo.backends.miredo import _subscription as _miredo_subscription
from tests.backends.test_interrupted import Alarm, Interruption, open_descriptors
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
assert not iphlpapi._subscriptions
assert not _miredo_subscription._subscriptions
assert not [t for t in __import__("threading").enumerate() if "aioteredo" in t.name]
{check}
"""


def stress(backend: str, check: str = "") -> None:
    """Interrupt cancel at random moments, in a process whose coverage nobody measures.

    The lock of coverage's own tracer would stay held after an interruption.
    """
    if not hasattr(signal, "setitimer"):
        pytest.skip("Windows has no such timer")
    root = str(Path(__file__).parents[2])
    code = STRESS.format(root=root, backend=backend, repetitions=REPETITIONS, check=check)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_simulated_interrupted_anywhere_is_completed_by_the_next_call() -> None:
    """A signal at any moment of cancel: after the second call nothing is left."""
    stress("SimulatedBackend()", "assert backend.subscriber_count == 0")


def test_iphlpapi_interrupted_anywhere_is_cancelled_natively_once(
    stand_in: StandIn,
) -> None:
    """A signal at any moment of cancel: the system's function is called once for each."""
    check = f"""
from tests.native import StandIn
stand_in = StandIn({stand_in.library!r})
assert stand_in.cancelled == stand_in.registered == {REPETITIONS + 1}
assert stand_in.misused == 0
"""
    stress(f"IphlpapiBackend({stand_in.library!r})", check)


@pytest.mark.usefixtures("miredo")
def test_miredo_interrupted_anywhere_is_completed_by_the_next_call() -> None:
    """A signal at any moment of cancel: neither a thread nor a descriptor is left."""
    stress("MiredoBackend(uid=54_321)")


def once(function: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    """The function, whose first call is interrupted before or after it has run."""
    calls = iter([True])

    def interrupted(*arguments: Any) -> Any:
        first = next(calls, False)
        if first and before:
            raise KeyboardInterrupt
        result = function(*arguments)
        if first:
            raise KeyboardInterrupt
        return result

    return interrupted


def is_free(lock: Any) -> bool:
    """Whether another thread can acquire the lock."""
    with ThreadPoolExecutor(1) as pool:
        acquired: bool = pool.submit(lock.acquire, timeout=1).result()
    return acquired


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("call", ["cancel", "notify"])
def test_iphlpapi_interrupted_while_it_locks_leaves_the_lock_free(
    stand_in: StandIn, call: str, before: bool
) -> None:
    """Held, it would stop the next callback, and the native cancel that waits for it."""
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
    """Held, it would stop every later call of the client on another thread."""
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
    """Ctrl-C before the native call: the second ``cancel`` makes it."""
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
    """Ctrl-C during the native call comes after it; the handle is not used again."""
    backend = stand_in.backend
    subscription = backend.subscribe(RecordingSink(), initial=False)
    monkeypatch.setattr(backend, "_cancel", once(backend._cancel, before=False))
    with pytest.raises(KeyboardInterrupt):
        subscription.cancel()
    subscription.cancel()
    assert (stand_in.cancelled, stand_in.misused) == (1, 0)


def test_iphlpapi_cancel_that_the_system_refused_is_not_repeated(
    stand_in: StandIn,
) -> None:
    """The handle of a refused cancel may belong to others by then."""
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
    """Ctrl-C before or after NotifyTeredoPortChange: what it registered is cancelled."""
    backend = stand_in.backend
    monkeypatch.setattr(backend, "_notify", once(backend._notify, before=before))
    with pytest.raises(KeyboardInterrupt):
        backend.subscribe(RecordingSink(), initial=False)
    assert stand_in.cancelled == stand_in.registered == (0 if before else 1)
    assert stand_in.misused == 0
    assert not iphlpapi._subscriptions


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("place", ["join", "close"])
def test_miredo_interrupted_while_cancelling_is_completed_by_the_next_call(
    miredo: MiredoBackend, monkeypatch: pytest.MonkeyPatch, place: str, before: bool
) -> None:
    """The second ``cancel`` waits for the thread and closes the descriptors."""
    descriptors = open_descriptors()
    subscription = miredo.subscribe(RecordingSink(), initial=False)
    owner = subscription._thread if place == "join" else subscription._table
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
    """The call after an interrupted one returns when the push has, and not earlier."""
    pushing, released = threading.Event(), threading.Event()

    def push_for_a_while(subscription: _miredo_subscription.MiredoSubscription) -> None:
        pushing.set()
        assert released.wait(10)
        subscription._table.unconnected()  # the descriptors are open

    monkeypatch.setattr(_miredo_subscription.MiredoSubscription, "_watch", push_for_a_while)
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
