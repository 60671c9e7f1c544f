"""Faulty backends, one for each mistake about addresses that the suite must find."""

from __future__ import annotations

from typing import Any, Final

from aioteredo._backend import AddressSink

from .correct_address_backend import AddressClient, StableRegistration
from .correct_backend import Registration
from .faulty_backends import NOT_FOUND


class StaleAddresses(AddressClient):
    """``get_addresses`` remembers the first addresses that it returned."""

    def get_addresses(self) -> Any:
        if not hasattr(self, "remembered"):
            self.remembered = super().get_addresses()
        return self.remembered

    def subscribe_stable_addresses(self, sink: AddressSink) -> StableRegistration:
        vars(self).pop("remembered", None)
        return super().subscribe_stable_addresses(sink)


class OneAddress(AddressClient):
    """Only the first of several addresses is pushed."""

    timeout = NOT_FOUND

    def subscribe_addresses(self, sink: AddressSink, *, initial: bool) -> Registration:
        class FirstAddressSink:
            fail = sink.fail

            def push(self, addresses: Any, notification_type: int) -> None:
                sink.push(addresses[:1], notification_type)

        return super().subscribe_addresses(FirstAddressSink(), initial=initial)


class AddressesAsText(AddressClient):
    """``get_addresses`` returns strings."""

    def get_addresses(self) -> Any:
        return tuple(map(str, super().get_addresses()))


class AddressesAsList(AddressClient):
    """The addresses are pushed as a list."""

    def subscribe_addresses(self, sink: AddressSink, *, initial: bool) -> Registration:
        class ListSink:
            fail = sink.fail

            def push(self, addresses: Any, notification_type: int) -> None:
                sink.push(list(addresses), notification_type)  # type: ignore[arg-type]

        return super().subscribe_addresses(ListSink(), initial=initial)


class MissedStability(AddressClient):
    """Addresses that are already stable when the sink subscribes are not pushed."""

    timeout = NOT_FOUND

    def subscribe_stable_addresses(self, sink: AddressSink) -> StableRegistration:
        registration = StableRegistration(self, sink)
        with self.lock:
            self.waiting.append(registration)
        return registration


class PrematureStability(AddressClient):
    """Addresses are pushed although they are not stable."""

    def subscribe_stable_addresses(self, sink: AddressSink) -> StableRegistration:
        registration = super().subscribe_stable_addresses(sink)
        if self.delayed:
            registration.push()
        return registration


class ForgetfulCancelOfStability(AddressClient):
    """A cancelled subscription gets the stable addresses."""

    def subscribe_stable_addresses(self, sink: AddressSink) -> StableRegistration:
        class Forgetful(StableRegistration):
            def cancel(self) -> None:
                pass

        registration = Forgetful(self, sink)
        with self.lock:
            self.waiting.append(registration)
            if not self.delayed:
                registration.push()
        return registration


class UnendingWait(AddressClient):
    """A failure of the client does not end the wait for stable addresses."""

    timeout = NOT_FOUND

    def fail(self) -> None:
        self.ports.fail()
        self.addresses.fail()


class WithoutStability(AddressClient):
    """One of the methods for addresses is missing."""

    subscribe_stable_addresses = property()


ADDRESS_RULES_BROKEN: Final[dict[type[AddressClient], str]] = {
    StaleAddresses: "test_get_addresses_is_that_of_the_last_change",
    OneAddress: "test_all_addresses_are_pushed_after_each_change",
    AddressesAsText: "test_addresses_are_a_tuple_of_teredo_addresses",
    AddressesAsList: "test_addresses_are_a_tuple_of_teredo_addresses",
    MissedStability: "test_stable_addresses_are_pushed",
    PrematureStability: "test_addresses_that_are_not_stable_are_awaited",
    ForgetfulCancelOfStability: ("test_cancelled_wait_for_stable_addresses_pushes_nothing"),
    UnendingWait: "test_failure_ends_the_wait_for_stable_addresses",
}
"""The rule that each faulty backend must fail."""
