"""The state of a story: the client, the loops, the watches, and the promises to check."""

from __future__ import annotations

import errno
import gc
import threading
import warnings
from contextlib import suppress
from typing import TypeVar

import pytest

from aioteredo import (
    BackendError,
    NotificationType,
    SimulatedBackend,
    TeredoError,
    _registration,
    share,
)

from ...support.waiting import wait_until
from .attempt import Attempt, Cancellation, run_attempt
from .event_loops import Loop, let_others_run
from .model import ClientRegistration, Watch

T = TypeVar("T")


def thread_names() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("aioteredo")]


def choose(choices: list[T], pick: int) -> T | None:
    return choices[pick % len(choices)] if choices else None


class World:
    """The package and its model, and the functions that several rules share."""

    def __init__(self, shared: bool) -> None:
        self.threads_before = set(threading.enumerate())
        self.client = SimulatedBackend(1000, seed=1)
        self.shared = shared
        self.backend = share(self.client) if shared else self.client
        self.port: int | None = 1000
        self.subscribe_fault: TeredoError | None = None
        self.cancel_fault: BackendError | None = None
        self.loops: list[Loop] = []
        self.watches: list[Watch] = []

    def watches_on_a_loop(self) -> list[Watch]:
        return [watch for watch in self.watches if watch.loop is not None]

    def watches_with_a_receiver(self) -> list[Watch]:
        return [watch for watch in self.watches if watch.receiver is not None]

    def take_cancel_fault(self) -> BackendError | None:
        """Return the fault that a cancel has raised by now, if one was set."""
        fault = self.cancel_fault
        self.cancel_fault = None
        return fault

    # registrations with the client

    def registration_to_join(self) -> ClientRegistration | None:
        """Return the registration that the next watch joins, or None if it makes one."""
        for watch in self.watches:
            if self.shared and watch.registered and not watch.registration.failed:
                return watch.registration
        return None

    def count_subscribers(self) -> int:
        """Return the number of registrations that the client still has."""
        return len({watch.registration for watch in self.watches if watch.subscribed})

    def unregister(self, *watches: Watch) -> BackendError | None:
        """Record that the package has cancelled *watches*.

        :return: the fault that the client has raised, if one was set
        """
        left = {watch.registration for watch in watches if watch.registered}
        for watch in watches:
            watch.registered = False
            watch.subscribed = False
        kept = {watch.registration for watch in self.watches if watch.registered}
        return self.take_cancel_fault() if left - kept else None

    # receivers

    def finish_receivers(self) -> None:
        """Wait for each receiver that has an event or an exception to get."""
        for watch in self.watches_with_a_receiver():
            assert watch.loop is not None
            assert watch.receiver is not None
            if not (watch.closed or watch.ready or watch.error):
                continue

            receiver = watch.receiver
            watch.receiver = None
            watch.loop.run(receiver.wait_until_done)
            self.check_receiver(watch, receiver, early=not watch.loop.runs_on_demand)

    def check_receiver(
        self, watch: Watch, receiver: Attempt, *, early: bool = False
    ) -> None:
        if receiver.error is not None:
            watch.check_error(receiver.error)
            return

        assert not watch.closed
        watch.check_event(receiver.value, early=early)

    # how a watch ends

    def close_watch(
        self, watch: Watch, way: str, cancellation: Cancellation | None = None
    ) -> None:
        assert watch.loop is not None
        assert watch.stream is not None
        exc = ZeroDivisionError() if way == "raise" else None
        leave = watch.context.__aexit__
        attempt = run_attempt(
            watch.loop,
            watch.stream.aclose if way == "aclose" else lambda: leave(type(exc), exc, None),
            cancellation,
        )

        fault = self.unregister(watch)
        watch.closed = True

        if attempt.cancelled:
            assert cancellation is not None
            assert attempt.error is not None
            if fault is not None:
                assert attempt.error.__cause__ is fault
        elif fault is None or exc is not None:
            assert attempt.error is None
        else:
            assert attempt.error is fault

        if exc is not None and not attempt.cancelled:
            notes = getattr(exc, "__notes__", [])
            assert notes == ([f"while closing the watch: {fault}"] if fault else [])

        self.finish_receivers()

    def destroy_task_of(self, watch: Watch) -> None:
        leaving = watch.context.__aexit__(GeneratorExit, GeneratorExit(), None)
        with pytest.raises(StopIteration):
            leaving.send(None)

        self.wait_until_cancelled_by_the_reaper(watch)
        watch.closed = True
        watch.orphaned = False

    def drop_watch(self, watch: Watch) -> None:
        if watch.error is not None:
            watch.error.__traceback__ = None

        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            watch.stream = None
            watch.context = None
            if not seen:
                gc.collect()

        unclosed = watch.registered or watch.orphaned
        assert [w.category for w in seen] == [ResourceWarning] * unclosed
        self.watches.remove(watch)
        self.wait_until_cancelled_by_the_reaper(watch)

    def wait_until_cancelled_by_the_reaper(self, watch: Watch) -> None:
        if not watch.registered:
            return
        fault = self.unregister(watch)

        subscribed = self.count_subscribers()
        registered = sum(other.registered for other in self.watches)
        wait_until(
            lambda: len(_registration._subscriptions) == registered,
            "the watch is not registered any more",
        )
        wait_until(
            lambda: self.client.subscriber_count == subscribed, "the watch is cancelled"
        )
        wait_until(
            lambda: bool(self.client._client._thread) == bool(subscribed),
            "the client has a thread for its watches only",
        )
        wait_until(
            lambda: fault is None or self.client._client.next_cancel_error is None,
            "the fault is raised",
        )

    # the client

    def record_changes(self, ports: list[int | None]) -> None:
        for port in ports:
            self.port = port
            for watch in self.watches:
                watch.record(port, NotificationType.PARAMETER)

    def record_failure(self, error: BackendError) -> None:
        for watch in self.watches:
            if watch.subscribed and watch.error is None:
                watch.error = error
                watch.registration.failed = True
        self.finish_receivers()

    def record_end_of_client(self) -> None:
        self.record_failure(BackendError("", errno.ESHUTDOWN, "errno"))
        for watch in self.watches:
            watch.subscribed = False

    # the promises that hold after each step

    def check_registrations(self) -> None:
        """As many watches are registered as the model knows, and no thread is left."""
        subscribed = self.count_subscribers()
        registered = sum(watch.registered for watch in self.watches)
        assert self.client.subscriber_count == subscribed
        assert len(_registration._subscriptions) == registered
        assert self.client.get_port() == self.port

        # A thread that has delivered the end of its call may still be about to return.
        wait_until(
            lambda: thread_names() == ["aioteredo simulated"] * bool(subscribed),
            "no other thread is left",
        )

    def check_receivers_wait(self) -> None:
        """Check that a receiver without an event still waits."""
        for watch in self.watches_with_a_receiver():
            assert watch.loop is not None
            assert watch.receiver is not None
            watch.loop.run(let_others_run)
            assert not watch.receiver.done

    # the end of a story

    def end(self) -> None:
        """Close and drop everything, and check that nothing is left."""
        for watch in self.watches_on_a_loop():
            self.close_watch(watch, "leave")
        for watch in list(self.watches):
            self.drop_watch(watch)

        assert self.client.subscriber_count == 0
        self.close_all()
        wait_until(
            lambda: set(threading.enumerate()) <= self.threads_before, "no thread is left"
        )

    def give_up(self) -> None:
        """Clean up after a failure, so that the next test does not fail as well."""
        with suppress(AssertionError):
            for watch in self.watches:
                self.destroy_task_of(watch)
        self.close_all()

    def close_all(self) -> None:
        while self.loops:
            self.loops.pop().close()
        self.client.close()
