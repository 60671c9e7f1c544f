"""The choice of Miredo's socket among the sockets of the machine."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import contextlib
import os
import socket

from aioteredo import MiredoBackend
from aioteredo.backends.miredo._inet_diag import (
    SocketTable,
)

from ...support import miredo_lab
from ...support.miredo import (
    INITIAL,
    PARAMETER,
    UID,
    bound,
    port_of,
    tunnel,
    watching,
)


def test_no_socket_is_no_port(backend: MiredoBackend) -> None:
    """Without a bound socket there is no port."""
    assert backend.get_port() is None


def test_unconnected_socket_of_the_user_is_the_port(backend: MiredoBackend) -> None:
    """The user's socket is found among the sockets of other users."""
    with bound(uid=UID + 1), bound() as sock, bound(uid=0):
        assert backend.get_port() == port_of(sock)


def test_connected_socket_is_not_the_port(backend: MiredoBackend) -> None:
    """A connected socket, such as Miredo's name lookup, is skipped."""
    with tunnel(), bound() as sock:
        miredo_lab.run("ip", "link", "set", "lo", "up")
        sock.connect(("127.0.0.1", 53))
        assert backend.get_port() is None


def test_ipv6_socket_is_not_the_port(backend: MiredoBackend) -> None:
    """An IPv6 socket of the same user is skipped, because Teredo uses IPv4."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        os.fchown(sock.fileno(), UID, -1)
        sock.bind(("::", 0))
        assert backend.get_port() is None


def test_newest_of_several_sockets_is_the_port(backend: MiredoBackend) -> None:
    """Of two sockets, the later one is taken for Miredo's."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})  # inode numbers grow on one CPU only
    try:
        with bound(), bound() as newest:
            assert backend.get_port() == port_of(newest)
    finally:
        os.sched_setaffinity(0, cpus)


def test_known_socket_is_kept_until_it_is_closed(backend: MiredoBackend) -> None:
    """A second socket does not replace the one that the watch follows."""
    with bound() as known, watching(backend, initial=True) as (sink, _):
        assert sink.take() == (port_of(known), INITIAL)
        with bound() as second, tunnel(), tunnel("tun1"):
            known.close()
            assert sink.take() == (port_of(second), PARAMETER)
        assert sink.take() == (None, PARAMETER)


def test_socket_that_one_dump_skipped_is_kept(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that only one dump lacks is not reported as closed."""
    with bound(), contextlib.closing(SocketTable()) as table:
        known = backend._find(table, None)
        dumps = iter([[], table.unconnected()])
        monkeypatch.setattr(table, "unconnected", lambda: next(dumps))
        assert known is not None
        assert backend._find(table, known) == known
