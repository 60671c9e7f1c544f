"""The rules about errors of the system."""

from __future__ import annotations

import pytest

from .._errors import BackendError, TeredoError
from ._harness import Harness
from ._subjects import PORTS


class FailureRules:
    """Rules about a ``subscribe`` that raises, and about ``Sink.fail``."""

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

    def test_failure_is_reported_once_and_last(self, harness: Harness) -> None:
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
