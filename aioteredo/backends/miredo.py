"""Miredo on Linux: a Teredo client that publishes its port nowhere. Experimental.

Miredo's worker owns one unconnected UDP socket under a user of its own, and an inet_diag
dump finds it in 20 µs (2,000 others beside it: 3 ms). /proc/net/udp is no way to look:
while 2,000 other sockets came and went, 6 of 206 reads missed one that was there, and
none of 341 dumps did.

Which socket it is, is told by its cookie. A port can be the same after a restart, and to
a firewall that is a change as well.
"""

from __future__ import annotations

import errno
import operator
import os
import sys
from contextlib import closing
from typing import Final

from .._backend import Sink
from .._errors import BackendError, BackendUnavailableError
from ._inet_diag import SocketTable, UdpSocket
from ._miredo_subscription import Subscription
from ._netlink import naming

USER: Final = "miredo"


class MiredoBackend:
    """Miredo, client or relay, in the network namespace of whoever asks.

    The port is the local one, from the moment it is bound. Behind a NAT the one that
    others see is another.

    :param uid: the user that Miredo's worker runs as (its option ``-u``); the default
        is the user ``miredo``, or any user if *cgroup* is given
    :param cgroup: the unit's directory in the cgroup v2 file system, such as
        ``/sys/fs/cgroup/system.slice/miredo.service``; it need not exist while Miredo
        is stopped
    :raises BackendUnavailableError: if this isn't Linux, or neither *uid* nor *cgroup*
        is given and there is no user ``miredo``
    :raises ValueError: if *uid* is out of range, or *cgroup* is no cgroup
    :raises TypeError: if *uid* is no integer, or *cgroup* no path
    """

    _uid: int | None
    _cgroup: str | None

    def __init__(
        self, uid: int | None = None, cgroup: str | os.PathLike[str] | None = None
    ) -> None:
        if sys.platform != "linux":
            raise BackendUnavailableError(
                f"the miredo backend needs Linux, and this is {sys.platform}; use "
                "another backend"
            )
        self._uid = None if uid is None else _check_uid(uid)
        self._cgroup = None if cgroup is None else _check_cgroup(cgroup)
        if uid is None and cgroup is None:
            import pwd  # nor is there one on Windows

            try:
                self._uid = pwd.getpwnam(USER).pw_uid
            except KeyError:
                raise BackendUnavailableError(
                    f"there is no user {USER!r}: install miredo, or pass the user that "
                    "it runs as: MiredoBackend(uid=...)"
                ) from None

    def get_port(self) -> int | None:
        """Look once.

        :return: the port, or None: Miredo does not run
        :raises BackendUnavailableError: if netlink or inet_diag is refused
        :raises BackendError: if the dump fails otherwise
        """
        with closing(SocketTable()) as table:
            found = self._find(table, None)
        return None if found is None else found.port

    def subscribe(self, sink: Sink, *, initial: bool) -> Subscription:
        """Listen to the kernel from now on.

        :raises BackendUnavailableError: if netlink or inet_diag is refused
        :raises BackendError: if a system call fails otherwise
        """
        return Subscription(self._find, sink, initial)

    def _find(self, table: SocketTable, known: UdpSocket | None) -> UdpSocket | None:
        cgroup = None
        if self._cgroup is not None:
            try:
                with naming("stat"):
                    cgroup = os.stat(self._cgroup).st_ino
            except BackendError as error:
                if error.code != errno.ENOENT:
                    raise
                return None  # the unit is stopped; started, it gets a new directory
        # A dump of several datagrams can step over a socket, if another one in the same
        # slot of the kernel's table goes meanwhile. Nothing would tell us of that, so
        # what is not there must be missing twice.
        for _ in range(1 if known is None else 2):
            candidates = [
                sock
                for sock in table.unconnected()
                if self._uid in (None, sock.uid) and cgroup in (None, sock.cgroup)
            ]
            for sock in candidates:
                if known is not None and sock.cookie == known.cookie:
                    return sock
        # the newest, as far as inode numbers tell: each CPU has a batch of its own
        return max(candidates, key=lambda sock: sock.inode, default=None)


def _check_uid(uid: int) -> int:
    try:
        number = operator.index(uid)
    except TypeError:
        raise TypeError(f"uid must be an integer, not {uid!r}") from None
    if not 0 <= number < 2**32 - 1:
        raise ValueError(f"uid must be 0 to {2**32 - 2}, not {uid!r}")
    return number


def _check_cgroup(cgroup: str | os.PathLike[str]) -> str:
    # Strings and not pathlib: its import takes milliseconds, which a program that asks
    # for the port once would notice.
    try:
        path = os.fspath(cgroup)
    except TypeError:
        path = None
    if not isinstance(path, str):
        raise TypeError(f"cgroup must be a path, not {cgroup!r}")

    path = os.path.join(os.getcwd(), path)  # the directory may be changed later
    existing = path if os.path.exists(path) else os.path.dirname(path.rstrip("/"))
    if not os.path.exists(os.path.join(existing, "cgroup.controllers")):
        raise ValueError(
            "cgroup must be a directory in the cgroup v2 file system, such as "
            f"/sys/fs/cgroup/system.slice/miredo.service, not {cgroup!r}"
        )
    return path
