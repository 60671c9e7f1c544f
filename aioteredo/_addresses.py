"""The Teredo IPv6 address, and the fields that it consists of."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

from ._public import public

# RFC 4380, section 2.6: the global Teredo IPv6 service prefix.
_PREFIX: Final = IPv6Network("2001::/32")


# RFC 4380, section 4: the fields of a Teredo address, from its highest bit on.
#
#   bits   field
#   ----   ---------------------------------------------------------
#     32   the prefix 2001:0000
#     32   the IPv4 address of the server
#     16   the flags
#     16   the mapped UDP port, each bit of it inverted
#     32   the mapped IPv4 address, each bit of it inverted
#
# Some NATs rewrite each copy of their own address that they find in a packet. They do not
# recognize an address whose bits are inverted.


@public
class TeredoAddress(IPv6Address):
    """The IPv6 address of a Teredo client, with its fields (RFC 4380, section 4).

    The address contains the IPv4 address of the client's Teredo server, and the IPv4
    address and UDP port that a NAT has given the client. It equals, hashes and sorts like
    the :class:`~ipaddress.IPv6Address` that it is.

    :param address: a string, an integer, 16 bytes or another address, as for
        :class:`~ipaddress.IPv6Address`
    :raises ValueError: if *address* is not an IPv6 address, or is outside of 2001::/32, the
        prefix of Teredo
    """

    __slots__ = ()

    def __init__(self, address: str | int | bytes | IPv6Address) -> None:
        super().__init__(address)
        if self not in _PREFIX:
            raise ValueError(
                f"address must be a Teredo address, in {_PREFIX}, not {str(self)!r}"
            )

    @property
    def server(self) -> IPv4Address:
        """The address of the Teredo server that the client uses."""
        return IPv4Address(int(self) >> 64 & 0xFFFFFFFF)

    @property
    def flags(self) -> int:
        """The 16 bits that describe the client, 0 to 65535.

        RFC 4380 defines the highest bit, :attr:`cone`. RFC 5991 fills twelve of the others
        with random bits, which make the address hard to guess.
        """
        return int(self) >> 48 & 0xFFFF

    @property
    def cone(self) -> bool:
        """Whether the client has found that its NAT is a cone NAT.

        RFC 5991 has clients clear this flag, so False says nothing about the NAT.
        """
        return bool(self.flags & 0x8000)

    @property
    def mapped_port(self) -> int:
        """The external UDP port that the NAT has given the client, 0 to 65535."""
        return ~int(self) >> 32 & 0xFFFF

    @property
    def mapped_address(self) -> IPv4Address:
        """The external IPv4 address that the NAT has given the client."""
        return IPv4Address(~int(self) & 0xFFFFFFFF)


def in_order(addresses: object) -> tuple[TeredoAddress, ...]:
    """Return *addresses*, which a backend has reported, sorted and without repetitions.

    A backend returns them in the order of its system, which may change although the
    addresses stay the same. Only sorted tuples can be compared.

    :raises TypeError: if *addresses* is not a tuple of TeredoAddress. A string, whose
        characters can be sorted as well, would otherwise reach the user as addresses
    """
    if not isinstance(addresses, tuple) or not all(
        isinstance(address, TeredoAddress) for address in addresses
    ):
        raise TypeError(
            "a backend must report its addresses as a tuple of TeredoAddress, not "
            f"{addresses!r}"
        )
    return tuple(sorted(set(addresses)))


def with_mapped_port(address: TeredoAddress, port: int) -> TeredoAddress:
    """Return *address* with another mapped port."""
    without_port = int(address) & ~(0xFFFF << 32)
    return TeredoAddress(without_port | (~port & 0xFFFF) << 32)
