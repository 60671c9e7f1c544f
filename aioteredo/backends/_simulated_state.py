"""The port and the addresses of a simulated client, and the changes that it can make."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address
from typing import Final

from .._addresses import TeredoAddress, in_order, with_mapped_port
from .._checks import check_integer
from .._events import NotificationType
from ._simulated_subscription import Topic

DYNAMIC_PORTS: Final = range(49152, 65536)  # RFC 6335


class SimulatedState:
    """The port and the addresses of a simulated client. Each change is notified.

    :param port: the port at the beginning, or None
    :param seed: the seed of the ports of :meth:`restart`
    :param notify: called with each new value, its topic and the notification type
    """

    port: int | None
    """The port, 1 to 65535, or None."""

    addresses: tuple[TeredoAddress, ...]
    """The usable addresses."""

    addresses_are_stable: bool
    """Whether no further address will follow."""

    def __init__(
        self,
        port: int | None,
        seed: int | None,
        *,
        notify: Callable[[Topic, object, int], object],
    ) -> None:
        self.port = port
        self.addresses = ()
        self.addresses_are_stable = True
        self._random = random.Random(seed)  # noqa: S311 - a port is not a secret
        self._notify = notify

    def change_port(self, port: int | None) -> None:
        """Change the port."""
        self.port = port
        self._notify(Topic.PORT, port, NotificationType.PARAMETER)

    def change_addresses(self, addresses: Iterable[TeredoAddress], *, stable: bool) -> None:
        """Change all addresses."""
        # Sorted here, because restart() can make equal addresses of two that differ in the
        # mapped port only.
        self.addresses = in_order(tuple(addresses))
        self.addresses_are_stable = stable

        self._notify(Topic.ADDRESSES, self.addresses, NotificationType.PARAMETER)
        if stable:
            self._notify(Topic.STABLE_ADDRESSES, self.addresses, NotificationType.INITIAL)

    def restart(self) -> int:
        """Change the port to another one of the dynamic range, and return it.

        If there are addresses, they change as well: each contains the new port.
        """
        first, second = self._random.sample(DYNAMIC_PORTS, 2)
        port = second if first == self.port else first
        self.change_port(port)

        if self.addresses:
            self.change_addresses(
                [with_mapped_port(address, port) for address in self.addresses],
                stable=self.addresses_are_stable,
            )
        return port

    def stop(self) -> None:
        """Take the port and the addresses away."""
        self.change_port(None)
        self.change_addresses((), stable=True)


def check_port(port: int | None) -> int | None:
    """Return *port* as an int, or None.

    :raises ValueError: if *port* is not in 1 to 65535
    :raises TypeError: if *port* is neither an integer nor None
    """
    if port is None:
        return None
    return check_integer("port", port, 1, 65535, or_none=True)


def check_address(address: str | IPv6Address) -> TeredoAddress:
    """Return *address* as a TeredoAddress.

    :raises ValueError: if *address* is not a Teredo address
    :raises TypeError: if *address* is neither a string nor an IPv6Address
    """
    if not isinstance(address, (str, IPv6Address)):
        raise TypeError(
            "addresses must be strings or IPv6Address objects, each an argument of its "
            f"own, not {address!r}"
        )
    return TeredoAddress(address)
