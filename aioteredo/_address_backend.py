"""The access to the Teredo addresses of a backend, which may not have any."""

from __future__ import annotations

from typing import Final, cast

from ._addresses import TeredoAddress, in_order
from ._backend import AddressBackend, Backend
from ._errors import BackendUnavailableError

ADDRESS_METHODS: Final = (
    "get_addresses",
    "subscribe_addresses",
    "subscribe_stable_addresses",
)
"""The methods of :class:`AddressBackend`."""


def address_backend(backend: Backend) -> AddressBackend:
    """Return *backend* as a backend that reports addresses.

    :raises BackendUnavailableError: if it lacks a method of :class:`AddressBackend`
    """
    missing = [
        name for name in ADDRESS_METHODS if not callable(getattr(backend, name, None))
    ]
    if missing:
        raise BackendUnavailableError(
            f"{backend!r} does not report Teredo addresses, because it has no method "
            f"{', '.join(missing)}; use a backend that implements aioteredo.AddressBackend"
        )
    return cast("AddressBackend", backend)


def read_addresses(backend: Backend) -> tuple[TeredoAddress, ...]:
    """Return the usable addresses, sorted. This may block.

    :raises BackendError: if the addresses cannot be read
    :raises BackendUnavailableError: if the backend does not report addresses
    """
    return in_order(address_backend(backend).get_addresses())
