"""Miredo on Linux: a Teredo client that publishes its port nowhere. Experimental.

Miredo's worker owns one unconnected UDP socket under a user of its own, and an inet_diag
dump finds it in 20 µs (2,000 others beside it: 3 ms). /proc/net/udp is no way to look:
while 2,000 other sockets came and went, 6 of 206 reads missed one that was there, and
none of 341 dumps did.

Which socket it is, is told by its cookie. A port can be the same after a restart, and to
a firewall that is a change as well.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import Final

from ..._backend import Sink
from ..._checks import check_integer
from ..._errors import BackendUnavailableError
from ..._public import public
from ._cgroup import Cgroup
from ._inet_diag import SocketTable, UdpSocket
from ._subscription import Subscription

USER: Final = "miredo"


@public
class MiredoBackend:
    """Miredo, client or relay, in the network namespace of whoever asks.

    The port is the local one, from the moment it is bound. Behind a NAT the one that
    others see is another. A Miredo in another network namespace cannot be detected: the
    backend then reports no port.

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

    def __init__(
        self, uid: int | None = None, cgroup: str | os.PathLike[str] | None = None
    ) -> None:
        if sys.platform != "linux":
            raise _needs_linux()
        self._uid: int | None = None if uid is None else _check_uid(uid)
        self._cgroup: Cgroup | None = None if cgroup is None else Cgroup(cgroup)
        if uid is None and cgroup is None:
            try:
                self._uid = find_uid(USER)
            except ValueError as error:
                raise BackendUnavailableError(
                    f"{error}: install miredo, or give the user that it runs as by "
                    "--miredo-uid or MiredoBackend(uid=...)"
                ) from None

    def get_port(self) -> int | None:
        """Look once.

        :return: the port, or None: Miredo does not run
        :raises BackendUnavailableError: if netlink or inet_diag is refused, or a user
            or cgroup namespace may hide Miredo's socket
        :raises BackendError: if the dump fails otherwise
        """
        with closing(SocketTable()) as table:
            found = self._find(table, None)
        return None if found is None else found.port

    def subscribe(self, sink: Sink, *, initial: bool) -> Subscription:
        """Listen to the kernel from now on.

        :raises BackendUnavailableError: if netlink or inet_diag is refused, or a user
            or cgroup namespace may hide Miredo's socket
        :raises BackendError: if a system call fails otherwise
        """
        return Subscription(self._find, sink, initial)

    def _find(self, table: SocketTable, known: UdpSocket | None) -> UdpSocket | None:
        uid = self._uid
        if uid is not None and not table.users.can_see(uid):
            raise _hidden(f"user {uid} is not mapped in this user namespace")

        # A dump of several datagrams can step over a socket, if another one in the same
        # slot of the kernel's table goes meanwhile. Nothing would tell us of that, so
        # what is not there must be missing twice.
        for _ in range(1 if known is None else 2):
            sockets = table.unconnected()
            if uid is not None:
                sockets = [s for s in sockets if s.uid in (uid, table.users.unknown)]
            if self._cgroup is not None:
                sockets = self._cgroup.select(sockets)
            candidates = [sock for sock in sockets if uid in (None, sock.uid)]
            for sock in candidates:
                if known is not None and sock.cookie == known.cookie:
                    return sock

        # "No port" would be a guess here, and a firewall would close while Miredo runs.
        if sockets and not candidates:
            raise _hidden(
                f"no UDP socket of user {uid} is visible, and one of a user that is not "
                "mapped in this user namespace may be Miredo's"
            )
        # the newest, as far as inode numbers tell: each CPU has a batch of its own
        return max(candidates, key=lambda sock: sock.inode, default=None)


def find_uid(user: str) -> int:
    """Return the number of *user*, a name or a number.

    :raises BackendUnavailableError: if this isn't Linux
    :raises ValueError: if there is no such user, or the number is out of range
    """
    if sys.platform != "linux":
        raise _needs_linux()
    if user.isdecimal():
        return _check_uid(int(user))
    import pwd  # Windows has no such module.

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ValueError(f"there is no user {user!r}") from None


def _needs_linux() -> BackendUnavailableError:
    return BackendUnavailableError(
        f"the miredo backend needs Linux, and this is {sys.platform}; use another backend"
    )


def _hidden(reason: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"{reason}: run aioteredo outside of the container, map the user in it, or choose "
        "Miredo by its cgroup, with --miredo-cgroup or MiredoBackend(cgroup=...)"
    )


def _check_uid(uid: int) -> int:
    # The highest number means "no user" to the kernel.
    return check_integer("uid", uid, 0, 2**32 - 2)
