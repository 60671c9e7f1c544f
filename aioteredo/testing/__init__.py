"""The conformance suite: what :class:`Backend` promises, for a backend of your own.

The streams are tested on backends that keep the contract, so a backend that breaks it
breaks them in ways that no test of theirs shows: an event lost once a week, a program
that does not end. Each rule is a test here, in a class to inherit from::

    class TestMyBackend(aioteredo.testing.BackendContract):
        @pytest.fixture
        def driver(self):
            with MyClient() as client:
                yield aioteredo.testing.Driver(MyBackend(client), client.set_port)

* A rule looks at nothing but itself, so that a mistake fails one test and names itself.
  That is why all but one take a pushed 0 for "no port", and why only those about the
  initial notification ask for it.
* The port goes from a number to None and back, never from one number to another: real
  clients pass through None when they restart. Unless several changes are made at once
  on purpose, each is awaited before the next: a backend that asks its system what is,
  rather than being told what was, may step over what lasts too short.
* Whatever could hang is called on a thread of its own, which is not waited for any
  longer than ``timeout``. That is also how aioteredo itself calls a backend.
* That something does *not* happen can only be shown by waiting for it, ``a_while``. What
  is right waits in vain, so a slow machine may hide a mistake but never makes one up.

It needs pytest, and nothing else in the package imports it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import ClassVar, Final

import pytest

from .._errors import BackendError, TeredoError
from .._events import NotificationType
from ._harness import Bench, Driver

__all__ = ["BackendContract", "Driver"]

PORTS: Final = range(50_000, 50_020)
LAST_PORT: Final = 50_020
HIGHEST_PORT: Final = 65_535


class BackendContract:
    """The rules. Inherit, and add a fixture ``driver`` that gives a :class:`Driver`."""

    timeout: ClassVar[float] = 10.0
    """Seconds that anything may take before it counts as hanging."""

    a_while: ClassVar[float] = 0.3
    """Seconds to wait for what must not happen."""

    @pytest.fixture
    def bench(self, driver: Driver) -> Iterator[Bench]:
        """The driver under a timeout, on a client without a port."""
        bench = Bench(driver, self.timeout)
        bench.change(None)
        yield bench
        bench.clear()

    # the initial notification

    def test_initial_push_comes_before_subscribe_returns(self, bench: Bench) -> None:
        """With ``initial`` the port as it is comes once, as INITIAL, within subscribe."""
        for port in (PORTS[0], None):
            bench.change(port)
            watch = bench.subscribe(initial=True)
            watch.cancel()
            assert watch.pushed_on_return == [(port, NotificationType.INITIAL)], (
                "subscribe returned before the one initial push of the current port"
            )
            assert len(watch.pushed) == 1, "the initial push came twice"

    def test_without_initial_only_changes_are_pushed(self, bench: Bench) -> None:
        """Without ``initial`` the port of before is not pushed, nor any as INITIAL."""
        bench.change(PORTS[0])
        watch = bench.subscribe()
        bench.change(None)
        watch.wait_for(None)
        watch.cancel()
        types = [notification_type for _, notification_type in watch.pushed]
        assert NotificationType.INITIAL not in types, "an INITIAL that nobody asked for"
        assert watch.changes == [None], "the port of before subscribe was pushed"

    # pushes

    def test_pushes_never_overlap(self, bench: Bench) -> None:
        """While a push runs no other one begins on the same sink."""
        watch = bench.subscribe()
        watch.hold()
        first = bench.start(bench.driver.change, PORTS[0])
        watch.wait_until_held()
        second = bench.start(bench.driver.change, None)
        overlapped = watch.overlapped.wait(self.a_while)
        watch.release()
        first.result()
        second.result()
        assert not overlapped, "a push began while another was running on the same sink"

    def test_order_is_that_of_the_changes(self, bench: Bench) -> None:
        """What is pushed keeps the order of the changes, none twice, the last at last."""
        at_once = [change for port in PORTS for change in (port, None)] + [HIGHEST_PORT]
        changes = [*at_once, None, LAST_PORT]
        watch = bench.subscribe()
        watch.hold()
        burst = bench.start(lambda: [bench.driver.change(port) for port in at_once])
        watch.wait_until_held()
        burst.returns_within(self.a_while)  # or not: change may wait for its push
        watch.release()
        burst.result()
        watch.wait_for(HIGHEST_PORT)  # it may have overtaken the others ...
        bench.change(None)
        bench.change(LAST_PORT)
        watch.wait_for(LAST_PORT)  # ... which have come before this one
        watch.cancel()
        rest = iter(changes)
        in_order = all(port in rest for port in watch.changes)
        assert in_order, f"the changes {changes} were pushed as {watch.changes}"

    def test_each_subscription_gets_each_change(self, bench: Bench) -> None:
        """Any number of subscriptions get each change, and get it once."""
        watches = [bench.subscribe() for _ in range(5)]
        changes = [PORTS[0], None, HIGHEST_PORT]
        for port in changes:
            bench.change(port)
            for watch in watches:
                watch.wait_for(port)
        for watch in watches:
            watch.cancel()
            assert watch.changes == changes, f"the changes were {changes}"

    # cancel

    def test_cancel_waits_for_a_running_push(self, bench: Bench) -> None:
        """A push that is running when ``cancel`` is called has returned when it does."""
        watch = bench.subscribe()
        watch.hold()
        change = bench.start(bench.driver.change, PORTS[0])
        watch.wait_until_held()
        cancel = watch.start_cancel()
        too_early = cancel.returns_within(self.a_while)
        watch.release()
        cancel.result()
        change.result()
        assert not too_early, "cancel returned while a push was running"

    def test_nothing_is_pushed_after_cancel(self, bench: Bench) -> None:
        """Changes after ``cancel`` reach the others only."""
        cancelled, other = bench.subscribe(), bench.subscribe()
        cancelled.cancel()
        for port in (PORTS[0], None, PORTS[1]):
            bench.change(port)
            other.wait_for(port)
        other.cancel()
        assert cancelled.changes == [], "pushed after cancel had returned"

    def test_two_threads_subscribe_and_cancel_at_once(self, bench: Bench) -> None:
        """Two threads may subscribe at once, and cancel at once; both are served."""
        for port in PORTS:
            first, second = bench.watch(), bench.watch()
            bench.at_once(first.subscribe, second.subscribe)
            bench.change(port)
            first.wait_for(port)
            second.wait_for(port)
            bench.at_once(first.cancel, second.cancel)
            bench.change(None)

    def test_no_thread_is_left_behind(self, bench: Bench) -> None:
        """Threads that were started for subscriptions end with the last of them."""
        before = set(threading.enumerate())
        first, second = bench.subscribe(), bench.subscribe()
        for port in (PORTS[0], None):
            bench.change(port)
            first.wait_for(port)
            second.wait_for(port)
        first.cancel()
        second.cancel()
        started = [
            thread
            for thread in set(threading.enumerate()) - before
            if not isinstance(thread, threading._DummyThread)  # a native one, not ours
        ]
        for thread in started:
            thread.join(bench.timeout)
        left = [thread for thread in started if thread.is_alive()]
        assert not left, f"outlives the last subscription: {left}"

    # the port

    def test_get_port_is_that_of_the_last_change(self, bench: Bench) -> None:
        """``get_port`` says what the last change was, with subscriptions and without."""
        for _ in range(2):
            for port in (PORTS[0], None, HIGHEST_PORT):
                bench.change(port)
                said = bench.get_port()
                assert (said or None) == port, f"get_port says {said}, it is {port}"
            bench.subscribe()

    def test_no_port_is_none_and_never_0(self, bench: Bench) -> None:
        """A port is an integer from 1 to 65535, or None; asked for and pushed."""
        ports: list[object] = []
        for port in (PORTS[0], None, HIGHEST_PORT, None):
            bench.change(port)
            ports.append(bench.get_port())
            watch = bench.subscribe(initial=True)
            change = HIGHEST_PORT if port is None else None
            bench.change(change)
            watch.wait_for(change)
            watch.cancel()
            ports += [pushed for pushed, _ in watch.pushed]
        wrong = [port for port in ports if not _is_port_or_none(port)]
        assert not wrong, f"neither 1 to 65535 nor None: {wrong}"

    # failures

    def test_failed_subscribe_leaves_nothing_registered(self, bench: Bench) -> None:
        """A ``subscribe`` that raises has registered nothing, and the next one works."""
        refuse = bench.driver.refuse
        if refuse is None:
            pytest.skip("the driver cannot have subscribe fail: it has no `refuse`")
        failed = bench.watch()
        bench.run(refuse, True)
        with pytest.raises(TeredoError):
            failed.subscribe()
        bench.run(refuse, False)
        other = bench.subscribe()
        for port in (PORTS[0], None):
            bench.change(port)
            other.wait_for(port)
        other.cancel()
        assert failed.changes == [], "pushed to a sink whose registration failed"

    def test_failure_is_told_once_and_last(self, bench: Bench) -> None:
        """``fail`` is called once, with a BackendError, and nothing is pushed after it."""
        fail = bench.driver.fail
        if fail is None:
            pytest.skip("the driver cannot fail a subscription: it has no `fail`")
        failed = bench.subscribe()
        bench.change(PORTS[0])
        failed.wait_for(PORTS[0])
        bench.run(fail)
        failed.wait_until_failed()
        bench.change(None)
        other = bench.subscribe()
        for port in (PORTS[1], None):
            bench.change(port)
            other.wait_for(port)
        other.cancel()
        failed.cancel()
        assert len(failed.failures) == 1, "fail was called more than once"
        assert isinstance(failed.failures[0], BackendError)
        assert not failed.pushed_after_failure, "pushed after fail"


def _is_port_or_none(port: object) -> bool:
    return port is None or (isinstance(port, int) and 1 <= port <= 65_535)
