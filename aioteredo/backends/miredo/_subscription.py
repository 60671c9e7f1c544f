"""A subscription to Miredo: a thread that the kernel's events tell when to look.

A dump says what is; an event only says when to look. What makes us look, in ms (25
restarts of Miredo 1.2.6, Linux 6.18, two CPUs; median / 95 % / most):

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
A bind that no event follows is found within a minute: while there is a tunnel and no
port, the dump is repeated each minute. In all other states only events make us look.
From bind to ``async for`` it then takes 2.9 / 15 / 22 ms at most, from close 1.4 / 9 /
39 (100 restarts; ``python -m tests.support.miredo_lab 100``).

* The listening sockets are bound before the first dump: no change between is lost.
* The destroy events are filtered by the socket's cookie, in the kernel, so that a name
  server beside us costs nothing. Once the filter has been changed it is looked again: the
  socket may have gone before. (There is none yet at the first look, so all is heard.)

One thread per watch, which waits in epoll for the events and for ``cancel``. It is a
daemon: the interpreter joins all others *before* it runs ``atexit``, and that is what
cancels the last watch and so ends this thread.
"""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from time import monotonic
from typing import Final, Protocol, TypeAlias, TypeVar

from ..._backend import Sink
from ..._errors import BackendError, BackendUnavailableError
from ..._events import NotificationType
from ..._fork import after_fork_in_child
from ..._new_thread import start_thread
from ._inet_diag import CloseListener, SocketTable, UdpSocket
from ._netlink import NETLINK_ROUTE, Listener, naming
from ._tunnels import RTNLGRP_IPV6_IFADDR, RTNLGRP_LINK, LinkTable, announces_tunnel

RETRY_FIRST: Final = 0.00025  # seconds; epoll rounds up to whole milliseconds
RETRY_FOR: Final = 2.0
RETRY_LATER: Final = 60.0
BATCH: Final = 64  # datagrams, then it is looked even if there are more

_CANCELLED: Final = object()

# Miredo's socket now, if there is one; it gets the one that it found last.
Find: TypeAlias = Callable[[SocketTable, UdpSocket | None], UdpSocket | None]


class Resource(Protocol):
    """Anything that is open until it is closed."""

    def close(self) -> None: ...


R = TypeVar("R", bound=Resource)

_subscriptions: Final[set[Subscription]] = set()


class Subscription:
    def __init__(self, find: Find, sink: Sink, initial: bool) -> None:
        self._find, self._sink = find, sink
        self._found: UdpSocket | None = None
        self._resources: list[Resource] = []
        _subscriptions.add(self)
        try:
            self._open()
            self._follow(self._find(self._table, None))
            if initial:
                self._push(NotificationType.INITIAL)
            self._await_bind()  # the tunnel may have been announced before we listened
            self._thread = start_thread(self._run, name="aioteredo miredo", daemon=True)
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        keep = self._keep
        self._table = keep(SocketTable())
        self._link_table = keep(LinkTable())
        self._links = keep(Listener(NETLINK_ROUTE, RTNLGRP_LINK, RTNLGRP_IPV6_IFADDR))
        self._closes = keep(CloseListener())
        with naming("socketpair"):
            self._waker, self._woken = map(keep, socket.socketpair())
        with naming("epoll_create1"):
            self._selector = keep(selectors.DefaultSelector())
        self._selector.register(self._links, selectors.EVENT_READ)
        self._selector.register(self._closes, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ, _CANCELLED)

    def _keep(self, resource: R) -> R:
        self._resources.append(resource)
        return resource

    def cancel(self) -> None:
        """End the thread, and hear nothing any more.

        Can be called again if an exception of a signal handler interrupted the call.
        """
        if self not in _subscriptions:  # all is done, or a fork's child has closed it
            return
        # After a close that was interrupted, one end or both are closed. The thread has
        # ended then.
        if self._waker.fileno() >= 0:
            with suppress(ConnectionError):
                self._waker.send(b"\0")

                # The thread's end is read from the socket, because it can be read again
                # after an interruption. Up to Python 3.12, a join() that was interrupted
                # marks the thread as ended, and the next one returns while the thread
                # still pushes and uses the descriptors. A threading.Event is not safe
                # either: a wait() that was interrupted can leave it locked.
                self._waker.recv(1)
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Close what is open, in this process only."""
        # Each of them can be closed twice, and an interrupted call is repeated from its
        # beginning: the subscription stays in the table until all of them are closed.
        with ExitStack() as stack:
            for resource in self._resources:
                stack.callback(resource.close)
        _subscriptions.discard(self)

    def _look(self) -> None:
        # until nothing has changed: what was found may be gone before it is followed
        while (found := self._find(self._table, self._found)) != self._found:
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
                unavailable = isinstance(error, BackendUnavailableError)
                code = errno.EACCES if unavailable else errno.EIO
                failure = BackendError("MiredoBackend", code, "errno")
                failure.__cause__ = error
            self._sink.fail(failure)
        finally:
            self._woken.shutdown(socket.SHUT_WR)  # cancel() waits for this

    def _watch(self) -> None:
        while True:
            ready = self._selector.select(self._next_retry())
            if any(key.data is _CANCELLED for key, _ in ready):
                return
            if self._drain():
                self._await_bind()
            self._look()

    def _next_retry(self) -> float | None:
        """Return the seconds until the next look without an event; None: no such look."""
        if self._found is not None:
            return None
        if monotonic() < self._retry_until:
            seconds = self._retry
            self._retry *= 2
            return seconds
        # Without this look, a port that is bound late, or bound again while the tunnel
        # stays, would be missed until the next event, which may never come.
        return RETRY_LATER if self._link_table.has_tunnel() else None

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


def _close_after_fork() -> None:  # pragma: no cover - it runs in the child
    for subscription in list(_subscriptions):  # their threads stayed in the parent
        subscription.close()


after_fork_in_child(_close_after_fork)
