"""The structures of inet_diag, parsed from the bytes that a kernel sends."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)


from aioteredo import BackendError
from aioteredo.backends.miredo import (
    _netlink,
)
from aioteredo.backends.miredo._inet_diag import (
    SOCK_DIAG_BY_FAMILY,
    parse_socket,
)

from ...support.netlink import CAPTURED, EXPECTED


def test_captured_socket_is_parsed() -> None:
    """The captured bytes of a kernel give the socket that they describe."""
    (parsed,) = _netlink.parse(CAPTURED)
    assert (parsed.type, parsed.flags) == (SOCK_DIAG_BY_FAMILY, 2)
    assert parse_socket(parsed.payload) == EXPECTED


def test_socket_without_attributes_has_no_cgroup() -> None:
    """A kernel that reports no cgroup is accepted."""
    parsed = parse_socket(CAPTURED[16 : 16 + 72])
    assert parsed == EXPECTED._replace(cgroup=None)


def test_attribute_of_length_0_is_skipped() -> None:
    """An attribute that claims to have no length does not hang the parser."""
    parsed = parse_socket(CAPTURED[16 : 16 + 72] + bytes(8))
    assert parsed.cgroup is None


def test_short_socket_is_an_error() -> None:
    """An inet_diag_msg that ends too early raises BackendError."""
    with pytest.raises(BackendError, match="EBADMSG"):
        parse_socket(bytes(71))
