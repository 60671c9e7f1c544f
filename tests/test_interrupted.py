"""Ctrl-C in the middle of subscribing or cancelling, as an interpreter's exit allows.

A signal handler's exception can come at many places of ``cancel``. Whoever was
interrupted calls it again, and that call must complete what the first one began.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from aioteredo import BackendError, BackendUnavailableError, MiredoBackend, SimulatedBackend
from aioteredo._backend import Backend
from aioteredo.backends import _miredo_subscription, iphlpapi

from .native import StandIn
from .requirements import require
from .test_iphlpapi import Pushes

REPETITIONS = 500


class Interruption(BaseException):
    """What the signal handler raises, so that no other Ctrl-C counts."""


class Alarm:
    """A timer whose signal raises an exception in the main thread."""

    def __init__(self) -> None:
        self._armed = False

    def interrupt(self, *_: object) -> None:
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
                signal.setitimer(signal.ITIMER_REAL, seconds)
                function()
            finally:
                self._armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Interruption:
            return True
        return False


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    if not hasattr(signal, "setitimer"):
        pytest.skip("Windows has no such timer")
    alarm = Alarm()
    previous = signal.signal(signal.SIGALRM, alarm.interrupt)
    yield alarm
    signal.signal(signal.SIGALRM, previous)


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


@pytest.fixture(params=["iphlpapi", "simulated", "miredo"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "iphlpapi":
        stand_in: StandIn = request.getfixturevalue("stand_in")
        return stand_in.backend
    if request.param == "simulated":
        return SimulatedBackend(1)
    miredo: MiredoBackend = request.getfixturevalue("miredo")
    return miredo


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0


def test_cancel_interrupted_anywhere_is_completed_by_the_next_call(
    backend: Backend,
    alarm: Alarm,
    request: pytest.FixtureRequest,
    unraisable: list[sys.UnraisableHookArgs],
) -> None:
    """A signal at any moment of cancel: after the second call nothing is left."""
    backend.subscribe(Pushes(), initial=False).cancel()
    chosen = random.Random(1)
    descriptors = open_descriptors()
    interrupted = 0
    for _ in range(REPETITIONS):
        subscription = backend.subscribe(Pushes(), initial=False)
        interrupted += alarm.call(chosen.uniform(1e-6, 2e-4), subscription.cancel)
        subscription.cancel()
    assert interrupted > 0
    # Python drops an exception that a signal handler raises inside a weakref's callback.
    assert {dropped.exc_type for dropped in unraisable} <= {Interruption}
    assert open_descriptors() == descriptors
    assert not iphlpapi._subscriptions
    assert not _miredo_subscription._subscriptions
    if isinstance(backend, SimulatedBackend):
        assert backend.subscriber_count == 0
    if isinstance(backend, iphlpapi.IphlpapiBackend):
        stand_in: StandIn = request.getfixturevalue("stand_in")
        assert stand_in.cancelled == stand_in.registered == REPETITIONS + 1
        assert stand_in.misused == 0


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


@pytest.mark.parametrize("before", [True, False])
def test_iphlpapi_interrupted_while_detaching_cancels_natively_once(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Ctrl-C before the native call: the second ``cancel`` makes it."""
    subscription = stand_in.backend.subscribe(Pushes(), initial=False)
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
    subscription = backend.subscribe(Pushes(), initial=False)
    monkeypatch.setattr(backend, "_cancel", once(backend._cancel, before=False))
    with pytest.raises(KeyboardInterrupt):
        subscription.cancel()
    subscription.cancel()
    assert (stand_in.cancelled, stand_in.misused) == (1, 0)


def test_iphlpapi_cancel_that_the_system_refused_is_not_repeated(
    stand_in: StandIn,
) -> None:
    """The handle of a refused cancel may belong to others by then."""
    subscription = stand_in.backend.subscribe(Pushes(), initial=False)
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
        backend.subscribe(Pushes(), initial=False)
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
    subscription = miredo.subscribe(Pushes(), initial=False)
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
    miredo: MiredoBackend, monkeypatch: pytest.MonkeyPatch, alarm: Alarm
) -> None:
    """The call after an interrupted one returns when the push has, and not earlier."""
    pushing, released = threading.Event(), threading.Event()

    def push_for_a_while(subscription: _miredo_subscription.Subscription) -> None:
        pushing.set()
        assert released.wait(10)
        subscription._table.unconnected()  # the descriptors are open

    monkeypatch.setattr(_miredo_subscription.Subscription, "_watch", push_for_a_while)
    sink = Pushes()
    subscription = miredo.subscribe(sink, initial=False)
    assert pushing.wait(10)
    for _ in range(2):
        assert alarm.call(0.05, subscription.cancel)
    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(subscription.cancel)
        done, _ = wait([cancelling], 0.1)
        released.set()
        assert not done
        cancelling.result(10)
    assert not sink.failed
