"""The rules about addresses that have no counterpart for ports."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .._address_backend import ADDRESS_METHODS
from .._addresses import TeredoAddress
from ._driver import Driver
from ._harness import Harness, RecordingSink
from ._subjects import PORTS, Label, StableAddressSubject


class AddressRules:
    """Rules about the methods of ``AddressBackend``."""

    def test_backend_has_all_methods_for_addresses_or_none(self, driver: Driver) -> None:
        """The core calls a backend that lacks a method unavailable for addresses."""
        missing = [
            method for method in ADDRESS_METHODS if not hasattr(driver.backend, method)
        ]
        assert missing in ([], [*ADDRESS_METHODS]), f"the backend lacks {missing}"

    def test_get_addresses_is_that_of_the_last_change(
        self, address_harness: Harness
    ) -> None:
        """``get_addresses`` returns all addresses, with and without a subscription."""
        harness = address_harness
        several: list[Label] = [PORTS[0], None, (PORTS[0], PORTS[1]), PORTS[1]]
        for subscribed in (False, True):
            if subscribed:
                harness.subscribe()
            for label in several:
                harness.change(label)
                returned = harness.get()
                assert harness.subject.label(returned) == label, (
                    f"get_addresses returned {returned}, but the mapped ports are {label}"
                )

    def test_all_addresses_are_pushed_after_each_change(
        self, address_harness: Harness
    ) -> None:
        """A push carries all addresses, not only those that were added or removed."""
        harness = address_harness
        sink = harness.subscribe()
        for ports in (PORTS[:1], PORTS[:3], PORTS[1:3], PORTS[2:5]):
            label: Label = ports[0] if len(ports) == 1 else tuple(ports)
            harness.change(label)
            sink.wait_for(label)

    def test_addresses_are_a_tuple_of_teredo_addresses(
        self, address_harness: Harness
    ) -> None:
        """Each value, returned or pushed, is a tuple whose items are TeredoAddress."""
        harness = address_harness
        values: list[object] = []
        for label in (PORTS[0], None, PORTS[1]):
            sink = harness.subscribe()
            harness.change(label)
            sink.wait_for(label)
            sink.cancel()

            initial = harness.subscribe(initial=True)
            initial.cancel()
            values += [*sink.values, *initial.values, harness.get()]

        wrong = [value for value in values if not _is_tuple_of_addresses(value)]
        assert not wrong, f"these are not tuples of TeredoAddress: {wrong}"

    def test_stable_addresses_are_pushed(self, address_harness: Harness) -> None:
        """``subscribe_stable_addresses`` pushes addresses that are stable already."""
        harness = address_harness
        for label in (None, PORTS[0]):
            harness.change(label)
            sink = _subscribe_to_stable(harness)
            sink.wait_for_a_push()
            sink.cancel()
            assert harness.subject.label(sink.values[0]) == label, (
                f"{sink.values[0]} was pushed, but the mapped port is {label}"
            )

    def test_addresses_that_are_not_stable_are_awaited(
        self, address_harness: Harness
    ) -> None:
        """The push comes once the addresses are stable, and not earlier."""
        harness = address_harness
        delay = _delay(harness)
        harness.run(delay, True)
        sink = _subscribe_to_stable(harness)
        too_early = sink.is_pushed_within(harness.a_while)

        harness.run(delay, False)
        sink.wait_for_a_push()
        sink.cancel()
        assert not too_early, "addresses were pushed before they were stable"

    def test_cancelled_wait_for_stable_addresses_pushes_nothing(
        self, address_harness: Harness
    ) -> None:
        """A sink whose subscription was cancelled gets no addresses, even if others do."""
        harness = address_harness
        delay = _delay(harness)
        harness.run(delay, True)
        cancelled = _subscribe_to_stable(harness)
        other = _subscribe_to_stable(harness)
        cancelled.cancel()
        before = len(cancelled.values)

        harness.run(delay, False)
        other.wait_for_a_push()
        other.cancel()
        assert len(cancelled.values) == before, "a push came after cancel had returned"

    def test_failure_ends_the_wait_for_stable_addresses(
        self, address_harness: Harness
    ) -> None:
        """``fail`` reaches a sink that waits. Otherwise its task would wait for good."""
        harness = address_harness
        fail = harness.driver.fail
        if fail is None:
            pytest.skip("the driver has no `fail`, so no subscription can be made to fail")

        harness.run(_delay(harness), True)
        sink = _subscribe_to_stable(harness)
        harness.run(fail)
        sink.wait_until_failed()
        sink.cancel()


def _is_tuple_of_addresses(value: object) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(address, TeredoAddress) for address in value
    )


def _subscribe_to_stable(harness: Harness) -> RecordingSink:
    sink = harness.new_sink(StableAddressSubject(harness.driver))
    sink.subscribe()
    return sink


def _delay(harness: Harness) -> Callable[[bool], object]:
    delay = harness.driver.delay_stable
    if delay is None:
        pytest.skip("the driver has no `delay_stable`")
    return delay
