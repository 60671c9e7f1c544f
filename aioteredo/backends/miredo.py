"""Miredo on Linux: a Teredo client that publishes its port nowhere. Experimental.

A dump says what is; an event only says when to look. Miredo's worker owns one
unconnected UDP socket under a user of its own, and an inet_diag dump finds it in 20 µs
(2,000 others beside it: 3 ms). What makes us look, in ms (25 restarts of Miredo 1.2.6,
Linux 6.18, two CPUs; median / 95 % / most):

========================  ==========================  =============================
RTM_NEWLINK of a TUN      before the bind             0.3 (2.4 before to 1.0 after)
RTM_NEWADDR               after the bind: qualified   24 / 38 / 72
SKNLGRP_INET_UDP_DESTROY  after the close             0.1 / 1.3 / 2.2
RTM_DELADDR               after the close             16 / 33 / 40
RTM_DELLINK               after the close             26 / 44 / 52
========================  ==========================  =============================

Nothing announces the bind, and without privilege nothing can. After RTM_NEWLINK the
dump is therefore repeated, 1, 1, 1, 2, 4 … ms apart, for at most 2 s and only while
there is no port; RTM_NEWADDR is the backstop where the bind takes longer than that.
From bind to ``async for`` it then takes 2.9 / 15 / 22 ms at most, from close 1.4 / 9 /
39 (100 restarts; ``python -m tests.miredo_lab 100``).

* The listening sockets are bound before the first dump: no change between is lost.
* Which socket it is, is told by its cookie. A port can be the same after a restart, and
  to a firewall that is a change as well.
* The destroy events are filtered by that cookie, in the kernel, so that a name server
  beside us costs nothing. Once the filter has been changed it is looked again: the
  socket may have gone before. (There is none yet at the first look, so all is heard.)
* /proc/net/udp is no way to look: while 2,000 other sockets came and went, 6 of 206
  reads missed one that was there, and none of 341 dumps did.

One thread per watch, which waits in epoll for the events and for ``cancel``. It is a
daemon: the interpreter joins all others *before* it runs ``atexit``, and that is what
cancels the last watch and so ends this thread.
"""

from __future__ import annotations

import errno
import operator
import os
import selectors
import socket
import sys
import threading
from contextlib import ExitStack, closing
from time import monotonic
from typing import TYPE_CHECKING, Final

from .._backend import Sink
from .._errors import BackendError, BackendUnavailableError
from .._events import NotificationType
from ._inet_diag import CloseListener, SocketTable, UdpSocket
from ._netlink import (
    NETLINK_ROUTE,
    RTNLGRP_IPV6_IFADDR,
    RTNLGRP_LINK,
    Listener,
    announces_tunnel,
    naming,
)

if TYPE_CHECKING:
    from pathlib import Path

USER: Final = "miredo"

RETRY_FIRST: Final = 0.00025  # seconds; epoll rounds up to whole milliseconds
RETRY_FOR: Final = 2.0
BATCH: Final = 64  # datagrams, then it is looked even if there are more

_CANCELLED: Final = object()

_subscriptions: Final[set[_Subscription]] = set()


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
    _cgroup: Path | None

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

    def subscribe(self, sink: Sink, *, initial: bool) -> _Subscription:
        """Listen to the kernel from now on.

        :raises BackendUnavailableError: if netlink or inet_diag is refused
        :raises BackendError: if a system call fails otherwise
        """
        return _Subscription(self, sink, initial)

    def _find(self, table: SocketTable, known: UdpSocket | None) -> UdpSocket | None:
        cgroup = None
        if self._cgroup is not None:
            try:
                with naming("stat"):
                    cgroup = self._cgroup.stat().st_ino
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


class _Subscription:
    def __init__(self, backend: MiredoBackend, sink: Sink, initial: bool) -> None:
        self._backend, self._sink = backend, sink
        self._found: UdpSocket | None = None
        self._resources = ExitStack()
        _subscriptions.add(self)
        try:
            self._open()
            self._follow(self._backend._find(self._table, None))
            if initial:
                self._push(NotificationType.INITIAL)
            self._await_bind()  # the tunnel may have been announced before we listened
            self._thread = threading.Thread(
                target=self._run, name="aioteredo miredo", daemon=True
            )
            self._thread.start()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        enter = self._resources.enter_context
        self._table = enter(closing(SocketTable()))
        self._links = enter(
            closing(Listener(NETLINK_ROUTE, RTNLGRP_LINK, RTNLGRP_IPV6_IFADDR))
        )
        self._closes = enter(closing(CloseListener()))
        with naming("socketpair"):
            self._waker, woken = map(enter, socket.socketpair())
        with naming("epoll_create1"):
            self._selector = enter(selectors.DefaultSelector())
        self._selector.register(self._links, selectors.EVENT_READ)
        self._selector.register(self._closes, selectors.EVENT_READ)
        self._selector.register(woken, selectors.EVENT_READ, _CANCELLED)

    def cancel(self) -> None:
        """End the thread, and hear nothing any more."""
        self._waker.send(b"\0")
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Close what is open, in this process only."""
        _subscriptions.discard(self)
        self._resources.close()

    def _look(self) -> None:
        # until nothing has changed: what was found may be gone before it is followed
        while (found := self._backend._find(self._table, self._found)) != self._found:
            self._follow(found)
            self._push(NotificationType.PARAMETER)

    def _follow(self, found: UdpSocket | None) -> None:
        self._closes.follow(found)
        self._found = found

    def _await_bind(self) -> None:
        self._retry, self._retry_until = RETRY_FIRST, monotonic() + RETRY_FOR

    def _push(self, notification_type: NotificationType) -> None:
        port = None if self._found is None else self._found.port
        self._sink.push(port, notification_type)

    # on the thread

    def _run(self) -> None:
        try:
            self._watch()
        except BaseException as error:  # noqa: BLE001 - told to the sink
            if isinstance(error, BackendError):
                failure = error
            else:
                failure = BackendError("MiredoBackend", errno.EIO, "errno")
                failure.__cause__ = error
            self._sink.fail(failure)

    def _watch(self) -> None:
        while True:
            timeout = None
            if self._found is None and monotonic() < self._retry_until:
                timeout, self._retry = self._retry, self._retry * 2
            ready = self._selector.select(timeout)
            if any(key.data is _CANCELLED for key, _ in ready):
                return
            if self._drain():
                self._await_bind()
            self._look()

    def _drain(self) -> bool:
        """Take the events.

        :return: whether there is a new tunnel, or may be one: events were lost
        """
        tunnel = False
        for _ in range(BATCH):
            closes, links = self._closes.receive(), self._links.receive()
            if closes == links == []:
                break
            tunnel |= links is None or any(map(announces_tunnel, links))
        return tunnel


def _check_uid(uid: int) -> int:
    try:
        number = operator.index(uid)
    except TypeError:
        raise TypeError(f"uid must be an integer, not {uid!r}") from None
    if not 0 <= number < 2**32 - 1:
        raise ValueError(f"uid must be 0 to {2**32 - 2}, not {uid!r}")
    return number


def _check_cgroup(cgroup: str | os.PathLike[str]) -> Path:
    from pathlib import Path  # 3 ms, and few have one

    try:
        path = Path(cgroup).absolute()
    except TypeError:
        raise TypeError(f"cgroup must be a path, not {cgroup!r}") from None
    existing = path if path.exists() else path.parent
    if not (existing / "cgroup.controllers").exists():
        raise ValueError(
            "cgroup must be a directory in the cgroup v2 file system, such as "
            f"/sys/fs/cgroup/system.slice/miredo.service, not {cgroup!r}"
        )
    return path


def _close_after_fork() -> None:  # pragma: no cover - it runs in the child
    for subscription in list(_subscriptions):  # their threads stayed in the parent
        subscription.close()


if hasattr(os, "register_at_fork"):  # pragma: no branch - all but Windows
    os.register_at_fork(after_in_child=_close_after_fork)
