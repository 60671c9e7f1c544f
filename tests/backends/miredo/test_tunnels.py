"""The announcement of a tunnel."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import struct

from aioteredo.backends.miredo import (
    _netlink,
    _tunnels,
)

from ...support.netlink import message


@pytest.mark.parametrize(
    ("kind", "link_type", "announced"),
    [
        (_tunnels.RTM_NEWLINK, _tunnels.ARPHRD_NONE, True),
        (_tunnels.RTM_NEWLINK, 1, False),
        (17, _tunnels.ARPHRD_NONE, False),
    ],
)
def test_only_a_new_link_of_no_type_announces_a_tunnel(
    kind: int, link_type: int, announced: bool
) -> None:
    """A new Ethernet interface, and a deleted tunnel, announce no tunnel."""
    payload = struct.pack("=BxHiII", 0, link_type, 5, 0, 0)
    (parsed,) = _netlink.parse(message(kind, payload))
    assert _tunnels.announces_tunnel(parsed) is announced
