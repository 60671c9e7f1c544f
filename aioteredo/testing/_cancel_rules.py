"""The rules about the end of a subscription."""

from __future__ import annotations

import threading
import time

from ._harness import Harness
from ._subjects import PORTS


class CancelRules:
    """Rules about ``Subscription.cancel``."""

    def test_cancel_waits_for_a_running_push(self, harness: Harness) -> None:
        """``cancel`` returns only after a push that is running has returned."""
        sink = harness.subscribe()
        sink.hold()
        change = harness.start(harness.subject.change, PORTS[0])
        sink.wait_until_held()

        cancel = sink.start_cancel()
        too_early = cancel.returns_within(harness.a_while)

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

        def left_behind() -> list[threading.Thread]:
            # A _DummyThread stands for a thread of the system, which Python did not start.
            return [
                thread
                for thread in set(threading.enumerate()) - before
                if not isinstance(thread, threading._DummyThread)
            ]

        # Not by join(). While another thread is still in start(), the new thread is listed
        # already, but join() raises RuntimeError.
        deadline = time.monotonic() + harness.timeout
        while (left := left_behind()) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert not left, f"these threads outlive the last subscription: {left}"
