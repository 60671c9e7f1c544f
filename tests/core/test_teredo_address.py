"""The fields of a Teredo address, and its likeness to an IPv6Address."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioteredo import TeredoAddress

# The server is 65.54.227.120. The external port is 40000 of 192.0.2.45, behind a cone NAT.
TEXT = "2001:0:4136:e378:8000:63bf:3fff:fdd2"


def test_address_has_the_fields_of_rfc_4380() -> None:
    address = TeredoAddress(TEXT)

    assert address.server == IPv4Address("65.54.227.120")
    assert address.flags == 0x8000
    assert address.cone
    assert address.mapped_port == 40000
    assert address.mapped_address == IPv4Address("192.0.2.45")


def test_other_flags_than_the_highest_one_are_not_cone() -> None:
    address = TeredoAddress("2001:0:4136:e378:7fff:63bf:3fff:fdd2")

    assert address.flags == 0x7FFF
    assert not address.cone


@given(
    st.ip_addresses(v=4),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF),
    st.ip_addresses(v=4),
)
def test_each_field_is_read_from_its_own_bits(
    server: IPv4Address, flags: int, port: int, mapped: IPv4Address
) -> None:
    """The fields that an address was made of are the fields that it has."""
    tail = (flags << 48) | ((port ^ 0xFFFF) << 32) | (int(mapped) ^ 0xFFFFFFFF)
    address = TeredoAddress((0x20010000 << 96) | (int(server) << 64) | tail)

    assert (address.server, address.flags) == (server, flags)
    assert (address.mapped_port, address.mapped_address) == (port, mapped)


@pytest.mark.parametrize(
    "value",
    [TEXT, int(IPv6Address(TEXT)), IPv6Address(TEXT).packed, IPv6Address(TEXT)],
    ids=["str", "int", "bytes", "IPv6Address"],
)
def test_address_is_made_of_each_kind_of_value(value: Any) -> None:
    assert TeredoAddress(value) == IPv6Address(TEXT)


@pytest.mark.parametrize(
    "value",
    ["2001:1::", "2000:ffff::", "::1", "192.0.2.1", "", 1, b"2001", None, f"{TEXT}/64"],
)
def test_other_value_raises_value_error(value: Any) -> None:
    with pytest.raises(
        ValueError, match="address|Address|Expected|packed|permitted|expected"
    ):
        TeredoAddress(value)


def test_error_for_another_prefix_names_the_prefix_and_the_address() -> None:
    with pytest.raises(ValueError, match="2001::/32, not '2001:db8::1'"):
        TeredoAddress("2001:db8::1")


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copy_is_a_teredo_address(copied: Callable[[object], object]) -> None:
    address = TeredoAddress(TEXT)

    assert type(copied(address)) is TeredoAddress
    assert copied(address) == address


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_address_is_a_teredo_address(protocol: int) -> None:
    address = TeredoAddress(TEXT)
    restored = pickle.loads(pickle.dumps(address, protocol))

    assert type(restored) is TeredoAddress
    assert restored == address


def test_address_compares_and_hashes_like_the_ipv6_address_that_it_is() -> None:
    address = TeredoAddress(TEXT)
    same = IPv6Address(TEXT)
    next_one = same + 1

    assert address == same
    assert hash(address) == hash(same)
    assert address < next_one
    assert sorted([next_one, address]) == [same, next_one]
    assert address in IPv6Network("2001::/32")
    assert {same: "found"}[address] == "found"


def test_text_is_the_text_of_an_ipv6_address() -> None:
    address = TeredoAddress(TEXT)

    assert str(address) == TEXT
    assert repr(address) == f"TeredoAddress('{TEXT}')"
