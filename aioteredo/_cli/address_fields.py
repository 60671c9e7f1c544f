"""The fields of a Teredo address, for a program that reads the output."""

from __future__ import annotations

from .._addresses import TeredoAddress


def address_fields(address: TeredoAddress) -> dict[str, object]:
    """Return the fields of *address* for a JSON object."""
    return {
        "address": str(address),
        "server": str(address.server),
        "flags": address.flags,
        "cone": address.cone,
        "mapped_address": str(address.mapped_address),
        "mapped_port": address.mapped_port,
    }
