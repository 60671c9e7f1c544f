"""What the rules of :mod:`aioteredo.testing` try a backend with.

Whatever of the backend could hang is called on a thread of its own, a daemon, which is
not waited for any longer than the timeout: one that hangs fails its test with the place
where it stands, and does not keep the interpreter from its end.
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
    """A backend, and a hand on the Teredo client that it follows.

    :param backend: the backend, with no subscription
    :param change: give the client this port, or None: no port. It returns once
        ``get_port`` says so, the push may come later; it may do nothing if the client
        has that port already. It is called from several threads
    :param refuse: have ``subscribe`` fail from now on (True), or work again (False)
    :param fail: have the subscriptions that there are fail for good, soon
    """

    backend: Backend
    change: Callable[[int | None], object]
    refuse: Callable[[bool], object] | None = None
    fail: Callable[[], object] | None = None


class Call(Generic[T]):
    """A call on a thread of its own."""

    def __init__(self, timeout: float, function: Callable[..., T], *args: Any) -> None:
        self._timeout, self._function, self._args = timeout, function, args
        self._future: Future[T] = Future()
        # a daemon: one that hangs must not keep the interpreter from its end
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._function(*self._args))
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            self._future.set_exception(error)

    def returns_within(self, seconds: float) -> bool:
        return bool(wait([self._future], seconds).done)

    def result(self) -> T:
        self._thread.join(self._timeout)
        if self._thread.is_alive():
            frame = sys._current_frames().get(self._thread.ident or 0)
            where = "".join(traceback.format_stack(frame))
            pytest.fail(f"not returned after {self._timeout} s; it stands at:\n{where}")
        return self._future.result()


class Bench:
    """Calls the backend and the driver, and leaves nothing subscribed or held."""

    driver: Driver
    timeout: float

    def __init__(self, driver: Driver, timeout: float) -> None:
        self.driver, self.timeout = driver, timeout
        self._watches: list[Watch] = []

    def start(self, function: Callable[..., T], *args: Any) -> Call[T]:
        return Call(self.timeout, function, *args)

    def run(self, function: Callable[..., T], *args: Any) -> T:
        return self.start(function, *args).result()

    def at_once(self, *functions: Callable[[], object]) -> None:
        barrier = threading.Barrier(len(functions), timeout=self.timeout)

        def run(function: Callable[[], object]) -> None:
            barrier.wait()
            function()

        calls = [self.start(run, function) for function in functions]
        for call in calls:
            call.returns_within(self.timeout)  # all of them, even if the first raises
        for call in calls:
            call.result()

    def change(self, port: int | None) -> None:
        self.run(self.driver.change, port)

    def get_port(self) -> int | None:
        return self.run(self.driver.backend.get_port)

    def watch(self) -> Watch:
        self._watches.append(Watch(self))
        return self._watches[-1]

    def subscribe(self, *, initial: bool = False) -> Watch:
        watch = self.watch()
        watch.subscribe(initial=initial)
        return watch

    def clear(self) -> None:
        for watch in self._watches:
            watch.release()
        for watch in self._watches:
            watch.cancel()


class Watch:
    """A sink and its subscription: keeps what it gets, and can hold a push."""

    overlapped: threading.Event
    pushed: list[tuple[int | None, int]]
    pushed_on_return: list[tuple[int | None, int]]
    pushed_after_failure: bool
    failures: list[BackendError]

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._subscription: Subscription | None = None
        self._news = threading.Condition()
        self._running = 0
        self._hold = False
        self._held, self._released = threading.Event(), threading.Event()
        self.overlapped = threading.Event()
        self.pushed, self.pushed_on_return, self.failures = [], [], []
        self.pushed_after_failure = False

    # what a sink does

    def push(self, port: int | None, notification_type: int) -> None:
        with self._news:
            self._running += 1
            if self._running > 1:
                self.overlapped.set()
            self.pushed.append((port, notification_type))
            self.pushed_after_failure |= bool(self.failures)
            hold, self._hold = self._hold, False
            self._news.notify_all()
        if hold:
            self._held.set()
            self._released.wait(self._bench.timeout)
        with self._news:
            self._running -= 1

    def fail(self, error: BackendError) -> None:
        with self._news:
            self.failures.append(error)
            self._news.notify_all()

    # what the rules do

    def subscribe(self, *, initial: bool = False) -> None:
        backend = self._bench.driver.backend

        def subscribe() -> Subscription:
            subscription = backend.subscribe(self, initial=initial)
            self.pushed_on_return = [(port or None, kind) for port, kind in self.pushed]
            return subscription

        self._subscription = self._bench.run(subscribe)

    def start_cancel(self) -> Call[None]:
        subscription, self._subscription = self._subscription, None
        assert subscription is not None, "cancel is called once"
        return self._bench.start(subscription.cancel)

    def cancel(self) -> None:
        if self._subscription is not None:
            self.start_cancel().result()

    def hold(self) -> None:
        """Keep the next push from returning."""
        self._hold = True

    def wait_until_held(self) -> None:
        assert self._held.wait(self._bench.timeout), "a change was not pushed"

    def release(self) -> None:
        self._released.set()

    @property
    def changes(self) -> list[int | None]:
        return [
            port or None
            for port, notification_type in self.pushed
            if notification_type != NotificationType.INITIAL
        ]

    def wait_for(self, port: int | None) -> None:
        self._wait(lambda: self.changes[-1:] == [port], f"the change to {port}")

    def wait_until_failed(self) -> None:
        self._wait(lambda: bool(self.failures), "the failure")

    def _wait(self, come: Callable[[], bool], what: str) -> None:
        with self._news:
            assert self._news.wait_for(come, self._bench.timeout), (
                f"{what} has not come after {self._bench.timeout} s; "
                f"what has: {self.pushed}"
            )
