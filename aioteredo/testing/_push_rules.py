"""The rules about the order, the number and the overlap of pushes."""

from __future__ import annotations

from ._harness import Harness
from ._subjects import HIGHEST_PORT, LAST_PORT, PORTS, Label


class PushRules:
    """Rules about ``Sink.push``."""

    def test_pushes_never_overlap(self, harness: Harness) -> None:
        """While a push runs, no other push begins on the same sink."""
        sink = harness.subscribe()
        sink.hold()
        first = harness.start(harness.subject.change, PORTS[0])
        sink.wait_until_held()

        second = harness.start(harness.subject.change, None)
        overlapped = sink.overlapped.wait(harness.a_while)

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
                harness.subject.change(port)

        burst = harness.start(make_changes)
        sink.wait_until_held()
        # Give the changes time to pile up. They cannot all be made if `change` waits for
        # the push that is held.
        burst.returns_within(harness.a_while)
        sink.release()
        burst.result()

        # HIGHEST_PORT may have overtaken other changes. All of them come before LAST_PORT.
        sink.wait_for(HIGHEST_PORT)
        harness.change(None)
        harness.change(LAST_PORT)
        sink.wait_for(LAST_PORT)
        sink.cancel()

        changes: list[Label] = [*at_once, None, LAST_PORT]
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
