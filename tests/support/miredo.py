"""Sockets and tunnels that look like Miredo's to the kernel, in a network namespace."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from aioteredo import MiredoBackend, NotificationType
from aioteredo.backends.miredo._inet_diag import SocketTable, UdpSocket
from aioteredo.backends.miredo._subscription import MiredoSubscription

from .requirements import require
from .seccomp import call
from .sinks import RecordingSink
from .waiting import limit

INITIAL = NotificationType.INITIAL
PARAMETER = NotificationType.PARAMETER

UID = 12345
"""A user that no process of the machine has."""


@contextlib.contextmanager
def watching(
    backend: MiredoBackend, *, initial: bool = False
) -> Iterator[tuple[RecordingSink, MiredoSubscription[int | None]]]:
    """Subscribe a sink for the block; yield the sink and the subscription."""
    sink = RecordingSink()
    subscription = backend.subscribe(sink, initial=initial)
    try:
        yield sink, subscription
    finally:
        sink.release.set()
        subscription.cancel()


def source_of(subscription: MiredoSubscription[Any]) -> Any:
    """Return the object that reads the kernel's tables, whose sockets a test can close."""
    return subscription._source


def unbound(uid: int = UID) -> socket.socket:
    """Return a UDP socket of *uid*. The kernel takes the uid from the file's owner."""
    if sys.platform != "linux":
        raise NotImplementedError
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    os.fchown(sock.fileno(), uid, -1)
    return sock


def bound(port: int = 0, *, uid: int = UID, reuse: bool = False) -> socket.socket:
    """Return a UDP socket that belongs to *uid* and is bound to *port*."""
    if sys.platform != "linux":
        raise NotImplementedError
    sock = unbound(uid)
    if reuse:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("", port))
    return sock


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


@contextlib.contextmanager
def tunnel(name: str = "tun0") -> Iterator[None]:
    """Create a TUN, as Miredo does. The kernel announces it before this is entered."""
    if sys.platform != "linux":
        raise NotImplementedError
    set_interface = 0x400454CA
    no_packet_information = 0x1000
    tun = 0x0001
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        request = struct.pack("16sH22x", name.encode(), tun | no_packet_information)
        fcntl.ioctl(fd, set_interface, request)
        yield
    finally:
        os.close(fd)


def open_fds() -> set[str]:
    """Return the open descriptors, without the one that lists them."""
    fds = set(os.listdir("/proc/self/fd"))
    return {fd for fd in fds if os.path.exists(f"/proc/self/fd/{fd}")}


@contextlib.contextmanager
def network_namespace() -> Iterator[None]:
    """Put this thread, and the threads that it starts, into a new network namespace."""
    if sys.platform != "linux":
        raise NotImplementedError
    clone_newnet = 0x40000000
    missing = None if os.geteuid() == 0 else "a network namespace needs root"
    if missing is None and not os.path.exists("/dev/net/tun"):
        missing = "there is no /dev/net/tun"
    require("miredo", missing)
    before = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    try:
        call("unshare", clone_newnet)
        try:
            yield
        finally:
            call("setns", before, clone_newnet)
    finally:
        os.close(before)


class ObservedDumps:
    """The dumps of a watch, observed by a test that waits for one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._expected = threading.Event()
        self._finished = threading.Event()
        unconnected = SocketTable.unconnected

        def recorded(table: SocketTable) -> list[UdpSocket]:
            expected = self._expected.is_set()
            sockets = unconnected(table)
            if expected:
                self._finished.set()
            return sockets

        monkeypatch.setattr(SocketTable, "unconnected", recorded)

    def expect(self) -> None:
        """Observe the dumps that begin from now on."""
        self._expected.set()

    def wait(self) -> None:
        """Wait until an observed dump has ended."""
        assert self._finished.wait(limit())
