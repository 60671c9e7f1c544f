"""The harness through which the rules of :mod:`aioteredo.testing` call a backend.

Each call runs on a daemon thread, and the test waits for it until the timeout. A call that
hangs therefore fails its test, with the stack of its thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from .._backend import Backend, Subscription
from .._errors import BackendError
from .._events import NotificationType
from ._background_call import BackgroundCall

T = TypeVar("T")


@dataclass(frozen=True)
class Driver:
    """A backend, and the functions that control the Teredo client of this backend.

    :param backend: the backend under test, without a subscription
    :param change: gives the client this port, or takes its port away (None). It returns
        once ``get_port`` returns the new port; the push may come later. It may do nothing
        if the client already has this port. Several threads call it
    :param refuse: lets every later ``subscribe`` fail (True), or succeed again (False)
    :param fail: lets the present subscriptions fail for good. It may return earlier
    """

    backend: Backend
    change: Callable[[int | None], object]
    refuse: Callable[[bool], object] | None = None
    fail: Callable[[], object] | None = None


class Harness:
    """Calls the backend and the driver under a timeout, and cleans up after a rule."""

    def __init__(self, driver: Driver, timeout: float, a_while: float) -> None:
        self.driver = driver
        self.timeout = timeout
        self.a_while = a_while
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
        """End the push that :meth:`hold` keeps from returning."""
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
