"""The conformance suite: the contract of :class:`aioteredo.Backend`, one test per rule.

The author of a backend inherits :class:`BackendContract` in tests of their own. This
package needs pytest, so nothing else in aioteredo imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from ._cancel_rules import CancelRules
from ._failure_rules import FailureRules
from ._harness import Driver, Harness
from ._initial_rules import InitialRules
from ._port_rules import PortRules
from ._push_rules import PushRules

__all__ = ["BackendContract", "Driver"]

# How the rules are written:
#
# * A rule checks only its own promise. A backend with one mistake then fails one test, and
#   the name of the test names the mistake. For example, all rules but one accept a pushed
#   0 as "no port", and only the rules about the initial notification ask for one.
#
# * The port changes from a number to None and back, never from one number to another,
#   because real clients pass through None when they restart. A rule awaits each change
#   before it makes the next one, except where it tests several changes at once: a backend
#   that reads the present state of its system may miss a state that ends too soon.
#
# * Only waiting can show that an event does not happen. A correct backend lets that wait
#   pass, so a slow machine may hide a mistake of a backend but never invents one.


class BackendContract(InitialRules, PushRules, CancelRules, PortRules, FailureRules):
    """The rules that each backend keeps, as tests for pytest.

    Inherit this class, and add a fixture ``driver`` that yields a :class:`Driver`::

        class TestMyBackend(aioteredo.testing.BackendContract):
            @pytest.fixture
            def driver(self):
                with MyClient() as client:
                    yield aioteredo.testing.Driver(MyBackend(client), client.set_port)

    A rule that needs an optional function of the driver is skipped if the driver has no
    such function.
    """

    timeout: ClassVar[float] = 10.0
    """Seconds after which a call or an awaited push counts as hanging."""

    a_while: ClassVar[float] = 0.3
    """Seconds to wait for an event that must not happen."""

    @pytest.fixture
    def harness(self, driver: Driver) -> Iterator[Harness]:
        """The driver under a timeout. Its client has no port yet."""
        harness = Harness(driver, self.timeout, self.a_while)
        harness.change(None)
        yield harness
        harness.clean_up()
