"""The conformance suite: the contract of :class:`aioteredo.Backend`, one test per rule.

Authors of a backend inherit from :class:`BackendContract` in their own tests. It needs
pytest, so nothing else in the package imports it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import ClassVar, Final

import pytest

from .._errors import BackendError, TeredoError
from .._events import NotificationType
from ._harness import Driver, Harness

__all__ = ["BackendContract", "Driver"]

PORTS: Final = range(50_000, 50_020)
LAST_PORT: Final = 50_020
HIGHEST_PORT: Final = 65_535

# How the rules are written:
#
# * A rule checks only its own promise. A backend with one mistake then fails one test, and
#   the name of the test says what the mistake is. For example, all rules but one accept a
#   pushed 0 as "no port", and only the rules about the initial notification ask for one.
#
# * The port changes from a number to None and back, never from one number to another,
#   because real clients pass through None when they restart. Each change is awaited before
#   the next one, except where several changes at once are the point: a backend that reads
#   the present state of its system may miss a state that lasts too short.
#
# * That something does not happen can only be shown by waiting for it. A correct backend
#   lets that wait pass, so a slow machine may hide a mistake but never invents one.


class BackendContract:
    """The rules that each backend keeps, as tests for pytest.

    Inherit from it, and add a fixture ``driver`` that gives a :class:`Driver`::

        class TestMyBackend(aioteredo.testing.BackendContract):
            @pytest.fixture
            def driver(self):
                with MyClient() as client:
                    yield aioteredo.testing.Driver(MyBackend(client), client.set_port)

    A rule that needs an optional function of the driver is skipped without it.
    """

    timeout: ClassVar[float] = 10.0
    """Seconds after which a call or an awaited push counts as hanging."""

    a_while: ClassVar[float] = 0.3
    """Seconds to wait for an event that must not happen."""

    @pytest.fixture
    def harness(self, driver: Driver) -> Iterator[Harness]:
        """The driver under a timeout, with a client that has no port."""
        harness = Harness(driver, self.timeout)
        harness.change(None)
        yield harness
        harness.clean_up()

    # the initial notification

    def test_initial_push_comes_before_subscribe_returns(self, harness: Harness) -> None:
        """With ``initial``, the present port is pushed once, as INITIAL, in subscribe."""
        for port in (PORTS[0], None):
            harness.change(port)

            sink = harness.subscribe(initial=True)
            sink.cancel()

            assert sink.pushed_on_return == [(port, NotificationType.INITIAL)], (
                "subscribe returned before the one initial push of the current port"
            )
            assert len(sink.pushed) == 1, "the initial push came twice"

    def test_without_initial_only_changes_are_pushed(self, harness: Harness) -> None:
        """Without ``initial``, neither the earlier port nor any INITIAL is pushed."""
        harness.change(PORTS[0])

        sink = harness.subscribe()
        harness.change(None)
        sink.wait_for(None)
        sink.cancel()

        types = [notification_type for _, notification_type in sink.pushed]
        assert NotificationType.INITIAL not in types, "INITIAL was pushed without `initial`"
        assert sink.changes == [None], "the port from before subscribe was pushed"

    # pushes

    def test_pushes_never_overlap(self, harness: Harness) -> None:
        """While a push runs, no other push begins on the same sink."""
        sink = harness.subscribe()
        sink.hold()
        first = harness.start(harness.driver.change, PORTS[0])
        sink.wait_until_held()

        second = harness.start(harness.driver.change, None)
        overlapped = sink.overlapped.wait(self.a_while)

        sink.release()
        first.result()
        second.result()
        assert not overlapped, "a push began while another was running on the same sink"

    def test_order_is_that_of_the_changes(self, harness: Harness) -> None:
        """The pushes are in the order of the changes, none comes twice, and the last comes.

        A backend may skip ports that were replaced before it could push them.
        """
        at_once = [change for port in PORTS for change in (port, None)] + [HIGHEST_PORT]
        sink = harness.subscribe()
        sink.hold()

        def make_changes() -> None:
            for port in at_once:
                harness.driver.change(port)

        burst = harness.start(make_changes)
        sink.wait_until_held()
        # Give the changes time to pile up. They cannot all be made if `change` waits for
        # the push that is held.
        burst.returns_within(self.a_while)
        sink.release()
        burst.result()

        # HIGHEST_PORT may have overtaken other changes. All of them come before LAST_PORT.
        sink.wait_for(HIGHEST_PORT)
        harness.change(None)
        harness.change(LAST_PORT)
        sink.wait_for(LAST_PORT)
        sink.cancel()

        changes = [*at_once, None, LAST_PORT]
        remaining = iter(changes)
        in_order = all(port in remaining for port in sink.changes)
        assert in_order, f"the changes {changes} were pushed as {sink.changes}"

    def test_each_subscription_gets_each_change(self, harness: Harness) -> None:
        """Each of several subscriptions gets each change once."""
        sinks = [harness.subscribe() for _ in range(5)]
        changes = [PORTS[0], None, HIGHEST_PORT]

        for port in changes:
            harness.change(port)
            for sink in sinks:
                sink.wait_for(port)

        for sink in sinks:
            sink.cancel()
            assert sink.changes == changes, f"the changes were {changes}"

    # cancel

    def test_cancel_waits_for_a_running_push(self, harness: Harness) -> None:
        """``cancel`` returns only after a push that is running has returned."""
        sink = harness.subscribe()
        sink.hold()
        change = harness.start(harness.driver.change, PORTS[0])
        sink.wait_until_held()

        cancel = sink.start_cancel()
        too_early = cancel.returns_within(self.a_while)

        sink.release()
        cancel.result()
        change.result()
        assert not too_early, "cancel returned while a push was running"

    def test_nothing_is_pushed_after_cancel(self, harness: Harness) -> None:
        """A cancelled sink gets no change that the other sinks still get."""
        cancelled = harness.subscribe()
        other = harness.subscribe()

        cancelled.cancel()
        for port in (PORTS[0], None, PORTS[1]):
            harness.change(port)
            other.wait_for(port)
        other.cancel()

        assert cancelled.changes == [], "a push came after cancel had returned"

    def test_two_threads_subscribe_and_cancel_at_once(self, harness: Harness) -> None:
        """Two threads can subscribe at the same time, and cancel at the same time."""
        for port in PORTS:
            first = harness.new_sink()
            second = harness.new_sink()

            harness.run_at_once(first.subscribe, second.subscribe)
            harness.change(port)
            first.wait_for(port)
            second.wait_for(port)

            harness.run_at_once(first.cancel, second.cancel)
            harness.change(None)

    def test_no_thread_is_left_behind(self, harness: Harness) -> None:
        """The threads that serve the subscriptions end with the last subscription."""
        before = set(threading.enumerate())
        first = harness.subscribe()
        second = harness.subscribe()
        for port in (PORTS[0], None):
            harness.change(port)
            first.wait_for(port)
            second.wait_for(port)

        first.cancel()
        second.cancel()

        # A _DummyThread stands for a thread of the system, which Python did not start.
        started = [
            thread
            for thread in set(threading.enumerate()) - before
            if not isinstance(thread, threading._DummyThread)
        ]
        for thread in started:
            thread.join(harness.timeout)
        left = [thread for thread in started if thread.is_alive()]
        assert not left, f"these threads outlive the last subscription: {left}"

    # the port

    def test_get_port_is_that_of_the_last_change(self, harness: Harness) -> None:
        """``get_port`` returns the newest port, with and without a subscription."""
        for subscribed in (False, True):
            if subscribed:
                harness.subscribe()
            for port in (PORTS[0], None, HIGHEST_PORT):
                harness.change(port)
                returned = harness.get_port()
                assert (returned or None) == port, (
                    f"get_port returned {returned}, but the port is {port}"
                )

    def test_no_port_is_none_and_never_0(self, harness: Harness) -> None:
        """Each port, returned or pushed, is an integer from 1 to 65535, or None."""
        ports: list[object] = []
        for port in (PORTS[0], None, HIGHEST_PORT, None):
            harness.change(port)
            ports.append(harness.get_port())

            sink = harness.subscribe(initial=True)
            change = HIGHEST_PORT if port is None else None
            harness.change(change)
            sink.wait_for(change)
            sink.cancel()
            ports += [pushed for pushed, _ in sink.pushed]

        wrong = [port for port in ports if not _is_port_or_none(port)]
        assert not wrong, f"these are neither 1 to 65535 nor None: {wrong}"

    # failures

    def test_failed_subscribe_leaves_nothing_registered(self, harness: Harness) -> None:
        """A ``subscribe`` that raises registers nothing, and the next one works."""
        refuse = harness.driver.refuse
        if refuse is None:
            pytest.skip("the driver has no `refuse`, so subscribe cannot be made to fail")

        failed = harness.new_sink()
        harness.run(refuse, True)
        with pytest.raises(TeredoError):
            failed.subscribe()
        harness.run(refuse, False)

        other = harness.subscribe()
        for port in (PORTS[0], None):
            harness.change(port)
            other.wait_for(port)
        other.cancel()

        assert failed.changes == [], "a push came to a sink whose registration failed"

    def test_failure_is_told_once_and_last(self, harness: Harness) -> None:
        """``fail`` is called once, with a BackendError, and no push comes after it."""
        fail = harness.driver.fail
        if fail is None:
            pytest.skip("the driver has no `fail`, so no subscription can be made to fail")

        failed = harness.subscribe()
        harness.change(PORTS[0])
        failed.wait_for(PORTS[0])
        harness.run(fail)
        failed.wait_until_failed()

        harness.change(None)
        other = harness.subscribe()
        for port in (PORTS[1], None):
            harness.change(port)
            other.wait_for(port)
        other.cancel()
        failed.cancel()

        assert len(failed.failures) == 1, "fail was called more than once"
        assert isinstance(failed.failures[0], BackendError)
        assert not failed.pushed_after_failure, "a push came after fail"


def _is_port_or_none(port: object) -> bool:
    return port is None or (isinstance(port, int) and 1 <= port <= 65_535)
