"""The harness through which the rules of :mod:`aioteredo.testing` call a backend.

Each call runs on a daemon thread, and the test waits for it until the timeout. A call that
hangs therefore fails its test, with the stack of its thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from .._backend import Subscription
from .._errors import BackendError
from .._events import NotificationType
from ._background_call import BackgroundCall
from ._driver import Driver
from ._subjects import Label, Subject

T = TypeVar("T")


class Harness:
    """Calls the backend and the driver under a timeout, and cleans up after a rule.

    :param subject: the values that the rule is about
    """

    def __init__(
        self, driver: Driver, subject: Subject, timeout: float, a_while: float
    ) -> None:
        self.driver = driver
        self.subject = subject
        self.timeout = timeout
        self.a_while = a_while
        self.newest: Label = None
        """The newest value of the client, before the changes that still run."""

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

    def change(self, label: Label) -> None:
        """Give the client this value."""
        self.run(self.subject.change, label)
        self.newest = label

    def get(self) -> Any:
        """Return the value that the backend reports."""
        return self.run(self.subject.get)

    def new_sink(self, subject: Subject | None = None) -> RecordingSink:
        """Return a sink that is not subscribed yet.

        :param subject: the values that it gets, if they are others than those of the rule
        """
        sink = RecordingSink(self, subject or self.subject)
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

    values: list[Any]
    """The value of each push so far."""

    pushed: list[tuple[Label, int]]
    """The label and the notification type of each push, except for repetitions.

    A repetition is a push of a value that has not changed, if the backend may make it.
    """

    pushed_on_return: list[tuple[Label, int]]
    """The part of :attr:`pushed` that came before ``subscribe`` returned."""

    failures: list[BackendError]
    """The error of each call of ``fail``."""

    pushed_after_failure: bool
    """Whether a push came after ``fail``."""

    overlapped: threading.Event
    """Set once a push began while another push was running."""

    def __init__(self, harness: Harness, subject: Subject) -> None:
        self.values = []
        self.pushed = []
        self.pushed_on_return = []
        self.failures = []
        self.pushed_after_failure = False
        self.overlapped = threading.Event()

        self._harness = harness
        self._subject = subject
        self._newest: Label = None
        self._subscription: Subscription | None = None
        self._recorded = threading.Condition()
        self._running_pushes = 0
        self._hold_next = False
        self._held = threading.Event()
        self._released = threading.Event()

    # The backend calls these, as the protocol Sink has them.

    def push(self, value: Any, notification_type: int) -> None:
        label = self._subject.label(value)
        is_initial = notification_type == NotificationType.INITIAL
        with self._recorded:
            self._running_pushes += 1
            if self._running_pushes > 1:
                self.overlapped.set()

            self.values.append(value)
            may_ignore = self._subject.may_repeat and not is_initial
            if not (may_ignore and label == self._newest):
                self.pushed.append((label, notification_type))
            self._newest = label
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
        self._newest = self._harness.newest

        def subscribe() -> Subscription:
            subscription = self._subject.subscribe(self, initial=initial)
            self.pushed_on_return = self.pushed.copy()
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
    def changes(self) -> list[Label]:
        """The labels of the values that were pushed as changes."""
        return [
            label
            for label, notification_type in self.pushed
            if notification_type != NotificationType.INITIAL
        ]

    def wait_for(self, label: Label) -> None:
        """Wait until the newest change is the one to this value."""
        self._wait(lambda: self.changes[-1:] == [label], f"the change to {label}")

    def wait_for_a_push(self) -> None:
        """Wait until there has been a push."""
        self._wait(lambda: bool(self.values), "a push")

    def is_pushed_within(self, seconds: float) -> bool:
        """Wait at most *seconds*, and return whether there has been a push."""
        with self._recorded:
            return self._recorded.wait_for(lambda: bool(self.values), seconds)

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
