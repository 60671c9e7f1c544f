"""Miredo, a Teredo client for Linux. Experimental.

Miredo does not publish its port. Its worker owns one unconnected UDP socket, which this
backend finds by its user or its cgroup in the kernel's table of sockets.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing
from functools import partial
from typing import Final

from ..._addresses import TeredoAddress
from ..._backend import AddressSink, Sink
from ..._checks import check_integer
from ..._errors import BackendUnavailableError
from ..._public import public
from ._addresses import (
    AddressSource,
    AddressTable,
    StableAddressSource,
    StableSink,
    usable,
)
from ._cgroup import Cgroup
from ._inet_diag import SocketTable, UdpSocket
from ._ports import PortSource
from ._subscription import MiredoSubscription

USER: Final = "miredo"


@public
class MiredoBackend:
    """Miredo, as a client or relay, in the network namespace of the calling thread.

    The port is the local one, from the moment when Miredo has bound it. Behind a NAT,
    other hosts see another port. A Miredo in another network namespace cannot be detected:
    the backend then reports no port.

    :param uid: the user that Miredo's worker runs as (its option ``-u``); the default
        is the user ``miredo``, or all users if *cgroup* is given
    :param cgroup: the unit's directory in the cgroup v2 file system, such as
        ``/sys/fs/cgroup/system.slice/miredo.service``; it need not exist while Miredo
        is stopped
    :raises BackendUnavailableError: if the system is not Linux, or neither *uid* nor
        *cgroup* is given and there is no user ``miredo``
    :raises ValueError: if *uid* is out of range, or *cgroup* is not a cgroup
    :raises TypeError: if *uid* is not an integer, or *cgroup* is not a path
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
                    f"{error}: install miredo, or name the user of its worker with "
                    "--miredo-uid or MiredoBackend(uid=...)"
                ) from None

    def get_port(self) -> int | None:
        """Search the kernel's table of sockets once.

        :return: the port, 1 to 65535, or None if Miredo does not run
        :raises BackendUnavailableError: if netlink or inet_diag is refused, or a user
            or cgroup namespace may hide Miredo's socket
        :raises BackendError: if another system call fails
        """
        with closing(SocketTable()) as table:
            found = self._find(table, None)
        return None if found is None else found.port

    def subscribe(self, sink: Sink, *, initial: bool) -> MiredoSubscription[int | None]:
        """Receive the kernel's events from now on, on a new thread.

        :param initial: whether the current port is pushed first
        :raises BackendUnavailableError: if netlink or inet_diag is refused, or a user
            or cgroup namespace may hide Miredo's socket
        :raises BackendError: if another system call fails
        """
        return MiredoSubscription(partial(PortSource, self._find), sink, initial)

    def get_addresses(self) -> tuple[TeredoAddress, ...]:
        """Read the kernel's table of addresses once.

        An address in 2001::/32 counts on any interface, so another Teredo client's address
        is returned as well.

        :return: the addresses that have passed duplicate address detection, in any order;
            empty if there is none
        :raises BackendUnavailableError: if netlink is refused
        :raises BackendError: if another system call fails
        """
        with closing(AddressTable()) as table:
            return usable(table.read())

    def subscribe_addresses(
        self, sink: AddressSink, *, initial: bool
    ) -> MiredoSubscription[tuple[TeredoAddress, ...]]:
        """Receive the kernel's events from now on, on a new thread.

        Addresses that come and go again before the thread reads them are not pushed.

        :param initial: whether the current addresses are pushed first
        :raises BackendUnavailableError: if netlink is refused
        :raises BackendError: if another system call fails
        """
        return MiredoSubscription(AddressSource, sink, initial)

    def subscribe_stable_addresses(
        self, sink: AddressSink
    ) -> MiredoSubscription[tuple[TeredoAddress, ...] | None]:
        """Wait on a new thread until the addresses are stable.

        The addresses are stable when none of them waits for duplicate address detection,
        and Miredo, if it runs, has an address. They are stable at once if Miredo does not
        run, even if it is about to be started. A Miredo that finds no server never has an
        address, and neither has a relay.

        :raises BackendUnavailableError: if netlink or inet_diag is refused, or a user
            or cgroup namespace may hide Miredo's socket
        :raises BackendError: if another system call fails
        """
        source = partial(StableAddressSource, self._find)
        return MiredoSubscription(source, StableSink(sink), initial=True)

    def _find(self, table: SocketTable, known: UdpSocket | None) -> UdpSocket | None:
        uid = self._uid
        if uid is not None and not table.users.can_see(uid):
            raise _hidden(f"user {uid} is not mapped in this user namespace")

        # A dump of several datagrams can skip a socket if another socket in the same slot
        # of the kernel's table is closed during the dump. No event reports a skipped
        # socket, so the known socket counts as closed only if two dumps lack it.
        # (/proc/net/udp is not used, because its readers skip sockets more often.)
        for _ in range(1 if known is None else 2):
            sockets = table.unconnected()
            if uid is not None:
                sockets = [s for s in sockets if s.uid in (uid, table.users.unknown)]
            if self._cgroup is not None:
                sockets = self._cgroup.select(sockets)
            candidates = [sock for sock in sockets if uid in (None, sock.uid)]

            # By cookie, because a restarted Miredo can have the same port again, and a
            # firewall must learn of the new socket.
            for sock in candidates:
                if known is not None and sock.cookie == known.cookie:
                    return sock

        # "No port" would be a guess, and a firewall would close while Miredo runs.
        if sockets and not candidates:
            raise _hidden(
                f"no UDP socket of user {uid} is visible, and one of a user that is not "
                "mapped in this user namespace may be Miredo's"
            )

        # The newest socket. Inode numbers grow on each CPU, but the CPUs take them from
        # separate batches, so between CPUs this is a guess.
        return max(candidates, key=lambda sock: sock.inode, default=None)


def find_uid(user: str) -> int:
    """Return the uid of *user*, which is a name or a number.

    :raises BackendUnavailableError: if the system is not Linux
    :raises ValueError: if there is no such user, or the number is out of range
    """
    if sys.platform != "linux":
        raise _needs_linux()
    if user.isdecimal():
        return _check_uid(int(user))

    import pwd  # Windows lacks this module.

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
