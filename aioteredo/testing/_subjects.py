"""The two subjects of the rules: the port, and the addresses of a client.

Most rules are the same for both. They describe each value by a label, and a subject knows
which value of the backend a label stands for.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeAlias, cast

import pytest

from .._address_backend import ADDRESS_METHODS
from .._addresses import TeredoAddress, with_mapped_port
from .._backend import AddressBackend, SinkOf, Subscription
from ._driver import Driver

PORTS: Final = range(50_000, 50_020)
LAST_PORT: Final = 50_020
HIGHEST_PORT: Final = 65_535

# The server 198.51.100.1 and the mapped address 203.0.113.7 are reserved for documentation.
_ADDRESS: Final = TeredoAddress("2001:0:c633:6401::34ff:8ef8")

Label: TypeAlias = int | tuple[int, ...] | None
"""A port; a tuple of ports, for as many addresses; None for no port or no address."""


class Subject(Protocol):
    """The access of the rules to the values of a backend, by their labels."""

    may_repeat: bool
    """Whether the backend may push a value that has not changed."""

    def change(self, label: Label) -> None:
        """Give the client the value."""

    def get(self) -> Any:
        """Return the value that the backend reports."""

    def subscribe(self, sink: SinkOf[Any], *, initial: bool) -> Subscription:
        """Register a sink with the backend."""

    def label(self, value: Any) -> Label:
        """Return the label of a value, or the value if it has none."""


class PortSubject:
    """The port. Its label is the port itself."""

    may_repeat = False

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def change(self, label: Label) -> None:
        self._driver.change(cast("int | None", label))

    def get(self) -> int | None:
        return self._driver.backend.get_port()

    def subscribe(self, sink: SinkOf[Any], *, initial: bool) -> Subscription:
        return self._driver.backend.subscribe(sink, initial=initial)

    def label(self, value: Any) -> Label:
        # Only the rule about the values of ports is strict about 0.
        return cast("Label", value or None)


class AddressSubject:
    """The addresses. They differ in the mapped port only, and their label names it.

    The test is skipped if the backend or the driver cannot change addresses.
    """

    may_repeat = True

    def __init__(self, driver: Driver) -> None:
        self._backend = cast("AddressBackend", driver.backend)
        if not all(hasattr(self._backend, method) for method in ADDRESS_METHODS):
            pytest.skip("the backend does not implement AddressBackend")
        if driver.change_addresses is None:
            pytest.skip("the driver has no `change_addresses`")
        self._change_addresses = driver.change_addresses

    def change(self, label: Label) -> None:
        if label is None:
            ports: tuple[int, ...] = ()
        elif isinstance(label, tuple):
            ports = label
        else:
            ports = (label,)
        self._change_addresses(tuple(with_mapped_port(_ADDRESS, port) for port in ports))

    def get(self) -> tuple[TeredoAddress, ...]:
        return self._backend.get_addresses()

    def subscribe(self, sink: SinkOf[Any], *, initial: bool) -> Subscription:
        return self._backend.subscribe_addresses(sink, initial=initial)

    def label(self, value: Any) -> Label:
        try:
            ports = sorted(TeredoAddress(address).mapped_port for address in value)
        except (TypeError, ValueError):
            return cast("Label", value)  # A rule about the type of the value reports it.
        if len(ports) > 1:
            return tuple(ports)
        return ports[0] if ports else None


class StableAddressSubject(AddressSubject):
    """The stable addresses, which are pushed once."""

    def subscribe(self, sink: SinkOf[Any], *, initial: bool) -> Subscription:  # noqa: ARG002
        return self._backend.subscribe_stable_addresses(sink)
