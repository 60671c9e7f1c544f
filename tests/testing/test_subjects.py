"""How the conformance suite reads the values that a backend pushes."""

from __future__ import annotations

from aioteredo import SimulatedBackend
from aioteredo.testing import Driver
from aioteredo.testing._subjects import AddressSubject


def test_value_that_is_not_addresses_stays_as_it_is() -> None:
    """The rule about the type of the value reports it, and no other rule stops there."""
    client = SimulatedBackend()
    driver = Driver(
        client,
        client.set_port,
        change_addresses=lambda addresses: client.set_addresses(*addresses),
    )
    subject = AddressSubject(driver)
    values: list[object] = [51234, ["no address"]]
    assert [subject.label(value) for value in values] == values
