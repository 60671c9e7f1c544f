"""The conformance suite: the contract of :class:`aioteredo.Backend`, one test per rule.

The author of a backend inherits :class:`BackendContract` in tests of their own. This
package needs pytest, so nothing else in aioteredo imports it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest

from ._address_rules import AddressRules
from ._cancel_rules import CancelRules
from ._driver import Driver
from ._failure_rules import FailureRules
from ._harness import Harness
from ._initial_rules import InitialRules
from ._port_rules import PortRules
from ._push_rules import PushRules
from ._subjects import AddressSubject, PortSubject, Subject

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
# * An address backend may push the same addresses again, so the rules ignore a push that
#   repeats the last one. Each address has a mapped port of its own, which describes it.
#
# * Only waiting can show that an event does not happen. A correct backend lets that wait
#   pass, so a slow machine may hide a mistake of a backend but never invents one.


class BackendContract(
    InitialRules, PushRules, CancelRules, PortRules, AddressRules, FailureRules
):
    """The rules that each backend keeps, as tests for pytest.

    Most rules are two tests: one for the port, and one for the addresses.

    Inherit this class, and add a fixture ``driver`` that yields a :class:`Driver`::

        class TestMyBackend(aioteredo.testing.BackendContract):
            @pytest.fixture
            def driver(self):
                with MyClient() as client:
                    yield aioteredo.testing.Driver(MyBackend(client), client.set_port)

    A rule that needs an optional function of the driver is skipped if the driver has no
    such function. The rules about addresses are skipped if the backend does not implement
    :class:`aioteredo.AddressBackend`.
    """

    timeout: ClassVar[float] = 10.0
    """Seconds after which a call or an awaited push counts as hanging."""

    a_while: ClassVar[float] = 0.3
    """Seconds to wait for an event that must not happen."""

    @pytest.fixture(params=[PortSubject, AddressSubject], ids=["port", "addresses"])
    def harness(self, driver: Driver, request: pytest.FixtureRequest) -> Iterator[Harness]:
        """The driver under a timeout. Its client has no port yet, or no address."""
        with self._harness(driver, request.param(driver)) as harness:
            yield harness

    @pytest.fixture
    def port_harness(self, driver: Driver) -> Iterator[Harness]:
        """The harness of a rule about ports only."""
        with self._harness(driver, PortSubject(driver)) as harness:
            yield harness

    @pytest.fixture
    def address_harness(self, driver: Driver) -> Iterator[Harness]:
        """The harness of a rule about addresses only."""
        with self._harness(driver, AddressSubject(driver)) as harness:
            yield harness

    @contextmanager
    def _harness(self, driver: Driver, subject: Subject) -> Iterator[Harness]:
        harness = Harness(driver, subject, self.timeout, self.a_while)
        harness.change(None)
        yield harness
        harness.clean_up()
