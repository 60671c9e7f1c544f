"""The rules about the initial notification."""

from __future__ import annotations

from .._events import NotificationType
from ._harness import Harness
from ._subjects import PORTS


class InitialRules:
    """Rules about ``subscribe`` with and without ``initial``."""

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
