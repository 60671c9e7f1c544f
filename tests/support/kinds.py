"""The two kinds of watches, for tests that are the same for ports and for addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aioteredo import (
    AddressEvent,
    AddressEventStream,
    PortEvent,
    PortEventStream,
    SimulatedBackend,
    TeredoAddress,
    get_teredo_addresses,
    get_teredo_port,
    watch_teredo_addresses,
    watch_teredo_port,
)

BASE: Final = TeredoAddress("2001:0:c633:6401::34ff:8ef8")


def address(port: int) -> TeredoAddress:
    """Return a Teredo address whose mapped port is *port*."""
    return TeredoAddress(int(BASE) | (~port & 0xFFFF) << 32)


@dataclass(frozen=True)
class Kind:
    """The functions and classes for one kind of values.

    A test has a client of the simulated backend, and describes each value by a port.
    """

    watch: Callable[..., Any]
    get: Callable[..., Any]
    stream_class: Any
    event_class: Any
    value: Callable[[int | None], Any]
    set_value: Callable[[SimulatedBackend, Any], object]

    def change(self, client: SimulatedBackend, port: int | None) -> None:
        """Change the value, and notify."""
        self.set_value(client, self.value(port))

    def event(self, port: int | None, *fields: int, **named_fields: int) -> Any:
        """Return the event that carries the value."""
        return self.event_class(self.value(port), *fields, **named_fields)


PORT: Final = Kind(
    watch_teredo_port,
    get_teredo_port,
    PortEventStream,
    PortEvent,
    lambda port: port,
    lambda client, port: client.set_port(port),
)

ADDRESSES: Final = Kind(
    watch_teredo_addresses,
    get_teredo_addresses,
    AddressEventStream,
    AddressEvent,
    lambda port: () if port is None else (address(port),),
    lambda client, addresses: client.set_addresses(*addresses),
)

KINDS: Final = {"port": PORT, "addresses": ADDRESSES}
