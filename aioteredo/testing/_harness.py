"""How the rules of :mod:`aioteredo.testing` call a backend without ever hanging.

Each call runs on a daemon thread, and the test waits for it until the timeout. A call that
hangs fails its test with the stack of its thread.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest

from .._backend import Backend, Subscription
from .._errors import BackendError
from .._events import NotificationType

T = TypeVar("T")


@dataclass(frozen=True)
class Driver:
    """A backend, and the functions that control the Teredo client it follows.

    :param backend: the backend, without a subscription
    :param change: give the client this port, or None for no port. It returns once
        ``get_port`` returns the port; the push may come later. If the client has the port
        already, it may do nothing. Several threads call it
    :param refuse: make ``subscribe`` fail from now on (True), or work again (False)
    :param fail: make the present subscriptions fail for good, soon
    """

    backend: Backend
    change: Callable[[int | None], object]
    refuse: Callable[[bool], object] | None = None
    fail: Callable[[], object] | None = None


class BackgroundCall(Generic[T]):
    """A function call that runs on a thread of its own."""

    def __init__(self, timeout: float, function: Callable[..., T], *args: Any) -> None:
        self._timeout = timeout
        self._function = function
        self._args = args
        self._future: Future[T] = Future()

        # A daemon, because a thread that hangs would keep the interpreter from exiting.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._function(*self._args))
        except BaseException as error:  # noqa: BLE001 - result() raises it
            self._future.set_exception(error)

    def returns_within(self, seconds: float) -> bool:
        """Wait at most *seconds*, and return whether the call has returned."""
        return bool(wait([self._future], seconds).done)

    def result(self) -> T:
        """Return the result, or fail the test if the call takes longer than the timeout."""
        self._thread.join(self._timeout)

        if self._thread.is_alive():
            frame = sys._current_frames().get(self._thread.ident or 0)
            stack = "".join(traceback.format_stack(frame))
            pytest.fail(
                f"the call has not returned after {self._timeout} s; its thread is "
                f"here:\n{stack}"
            )
        return self._future.result()


class Harness:
    """Calls the backend and the driver under a timeout, and cleans up after a rule."""

    def __init__(self, driver: Driver, timeout: float) -> None:
        self.driver = driver
        self.timeout = timeout
        self._sinks: list[RecordingSink] = []

    def start(self, function: Callable[..., T], *args: Any) -> BackgroundCall[T]:
        """Start a call, and return without waiting for it."""
        return BackgroundCall(self.timeout, function, *args)

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Make a call, and return its result."""
        return self.start(function, *args).result()

    def run_at_once(self, *functions: Callable[[], object]) -> None:
        """Make several calls at the same moment, each on its own thread."""
        barrier = threading.Barrier(len(functions), timeout=self.timeout)

        def run(function: Callable[[], object]) -> None:
            barrier.wait()
            function()

        calls = [self.start(run, function) for function in functions]

        # Wait for all of them before result() raises the exception of the first.
        for call in calls:
            call.returns_within(self.timeout)
        for call in calls:
            call.result()

    def change(self, port: int | None) -> None:
        """Give the client this port."""
        self.run(self.driver.change, port)

    def get_port(self) -> int | None:
        """Return the port that the backend reports."""
        return self.run(self.driver.backend.get_port)

    def new_sink(self) -> RecordingSink:
        """Return a sink that is not subscribed yet."""
        sink = RecordingSink(self)
        self._sinks.append(sink)
        return sink

    def subscribe(self, *, initial: bool = False) -> RecordingSink:
        """Return a sink that is subscribed."""
        sink = self.new_sink()
        sink.subscribe(initial=initial)
        return sink

    def clean_up(self) -> None:
        """End all held pushes, then cancel all subscriptions."""
        for sink in self._sinks:
            sink.release()
        for sink in self._sinks:
            sink.cancel()


class RecordingSink:
    """A sink and its subscription. It records each push, and can hold one."""

    pushed: list[tuple[int | None, int]]
    """Each push so far: the port and the notification type."""

    pushed_on_return: list[tuple[int | None, int]]
    """The pushes that came before ``subscribe`` returned; a port of 0 counts as None."""

    failures: list[BackendError]
    """The error of each call of ``fail``."""

    pushed_after_failure: bool
    """Whether a push came after ``fail``."""

    overlapped: threading.Event
    """Set once a push began while another push was running."""

    def __init__(self, harness: Harness) -> None:
        self.pushed = []
        self.pushed_on_return = []
        self.failures = []
        self.pushed_after_failure = False
        self.overlapped = threading.Event()

        self._harness = harness
        self._subscription: Subscription | None = None
        self._recorded = threading.Condition()
        self._running_pushes = 0
        self._hold_next = False
        self._held = threading.Event()
        self._released = threading.Event()

    # The backend calls these, as the protocol Sink has them.

    def push(self, port: int | None, notification_type: int) -> None:
        with self._recorded:
            self._running_pushes += 1
            if self._running_pushes > 1:
                self.overlapped.set()
            self.pushed.append((port, notification_type))
            self.pushed_after_failure |= bool(self.failures)
            hold = self._hold_next
            self._hold_next = False
            self._recorded.notify_all()

        if hold:
            self._held.set()
            self._released.wait(self._harness.timeout)

        with self._recorded:
            self._running_pushes -= 1

    def fail(self, error: BackendError) -> None:
        with self._recorded:
            self.failures.append(error)
            self._recorded.notify_all()

    # The rules call these.

    def subscribe(self, *, initial: bool = False) -> None:
        """Subscribe this sink to the backend."""
        backend = self._harness.driver.backend

        def subscribe() -> Subscription:
            subscription = backend.subscribe(self, initial=initial)
            self.pushed_on_return = [(port or None, kind) for port, kind in self.pushed]
            return subscription

        self._subscription = self._harness.run(subscribe)

    def start_cancel(self) -> BackgroundCall[None]:
        """Start to cancel the subscription, and return without waiting for it."""
        subscription = self._subscription
        self._subscription = None
        assert subscription is not None, "cancel is called once"
        return self._harness.start(subscription.cancel)

    def cancel(self) -> None:
        """Cancel the subscription, if there is one."""
        if self._subscription is not None:
            self.start_cancel().result()

    def hold(self) -> None:
        """Keep the next push from returning until :meth:`release`."""
        self._hold_next = True

    def wait_until_held(self) -> None:
        """Wait until a push has come and is being held."""
        assert self._held.wait(self._harness.timeout), "a change was not pushed"

    def release(self) -> None:
        """Let the push that is held return."""
        self._released.set()

    @property
    def changes(self) -> list[int | None]:
        """The ports that were pushed as changes; a port of 0 counts as None."""
        return [
            port or None
            for port, notification_type in self.pushed
            if notification_type != NotificationType.INITIAL
        ]

    def wait_for(self, port: int | None) -> None:
        """Wait until the newest change is *port*."""
        self._wait(lambda: self.changes[-1:] == [port], f"the change to {port}")

    def wait_until_failed(self) -> None:
        """Wait until the backend has called ``fail``."""
        self._wait(lambda: bool(self.failures), "the failure")

    def _wait(self, condition: Callable[[], bool], expected: str) -> None:
        timeout = self._harness.timeout
        with self._recorded:
            assert self._recorded.wait_for(condition, timeout), (
                f"{expected} has not come after {timeout} s; "
                f"these pushes have come: {self.pushed}"
            )
