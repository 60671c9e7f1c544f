"""The two subjects that ``watch`` and ``exec`` can follow: the port, and the addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NamedTuple

from anyio.abc import UnreliableObjectReceiveStream

from .._address_watch import get_teredo_addresses, watch_teredo_addresses
from .._addresses import TeredoAddress
from .._port_watch import get_teredo_port, watch_teredo_port
from .address_fields import address_fields


class Subject(NamedTuple):
    """A value of the Teredo client that a command can follow, and the texts for it.

    The value is the first field of an event.
    """

    noun: str
    """The word for the value in messages."""

    watch: Callable[..., AbstractAsyncContextManager[UnreliableObjectReceiveStream[Any]]]
    """The function of the library that opens a watch."""

    get: Callable[..., Awaitable[Any]]
    """The function of the library that returns the current value."""

    text: Callable[[Any], str]
    """Returns the text of a value for a person, or "" if the client has none."""

    fields: Callable[[Any], dict[str, object]]
    """Returns the field of a JSON object for a value."""

    placeholders: tuple[str, ...]
    """The names that CMD can contain in braces. They also name the variables of CMD."""

    substitutes: Callable[[Any], tuple[str, ...]]
    """Returns a text for each placeholder, or an empty tuple without a value."""

    def describe(self, value: Any) -> str:
        """Return the words for *value*, such as "port 51234" or "no port"."""
        text = self.text(value)
        return f"{self.noun} {text}" if text else f"no {self.noun}"


def _port_text(port: int | None) -> str:
    return "" if port is None else str(port)


def _port_substitutes(port: int | None) -> tuple[str, ...]:
    return () if port is None else (str(port),)


PORT: Final = Subject(
    noun="port",
    watch=watch_teredo_port,
    get=get_teredo_port,
    text=_port_text,
    fields=lambda port: {"port": port},
    placeholders=("port",),
    substitutes=_port_substitutes,
)


def _addresses_text(addresses: tuple[TeredoAddress, ...]) -> str:
    return ", ".join(map(str, addresses))


def _addresses_fields(addresses: tuple[TeredoAddress, ...]) -> dict[str, object]:
    return {"addresses": [address_fields(address) for address in addresses]}


def _address_substitutes(addresses: tuple[TeredoAddress, ...]) -> tuple[str, ...]:
    # CMD takes one address. The addresses are sorted, so the first one stays the same
    # while the client keeps it.
    if not addresses:
        return ()
    first = addresses[0]
    return str(first), str(first.mapped_address), str(first.mapped_port)


ADDRESSES: Final = Subject(
    noun="address",
    watch=watch_teredo_addresses,
    get=get_teredo_addresses,
    text=_addresses_text,
    fields=_addresses_fields,
    placeholders=("address", "mapped_address", "mapped_port"),
    substitutes=_address_substitutes,
)
