"""A watch of Miredo: one thread that dumps the socket table when the kernel has an event.

An event only says that the port may have changed. The dump says which port it is.
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
from ..._errors import BackendError, BackendUnavailableError, failure
from ..._events import NotificationType
from ..._fork import after_fork_in_child
from ..._new_thread import start_thread
from ._inet_diag import CloseListener, SocketTable, UdpSocket
from ._netlink import NETLINK_ROUTE, EventsLostError, Listener, as_backend_error
from ._tunnels import RTNLGRP_IPV6_IFADDR, RTNLGRP_LINK, LinkTable, announces_tunnel

# The port is found by a dump of the kernel's UDP sockets (inet_diag). The thread makes a
# dump when one of these events comes, and at some times without an event:
#
# 1. RTM_NEWLINK of a TUN comes before Miredo binds its socket. No event announces the bind
#    itself. So the dump is repeated, with growing pauses, for RETRY_FOR seconds.
# 2. RTM_NEWADDR comes when Miredo has found its server, after the bind.
# 3. If the bind comes after RETRY_FOR and without an event, it would never be noticed. So
#    the dump is repeated every RETRY_LATER seconds while a tunnel but no port exists.
# 4. SKNLGRP_INET_UDP_DESTROY comes right after the socket was closed.
# 5. RTM_DELADDR and RTM_DELLINK come later than 4. They matter only if 4 was lost.

RETRY_FIRST: Final = 0.00025  # seconds; epoll rounds up to whole milliseconds
RETRY_FOR: Final = 2.0  # seconds
RETRY_LATER: Final = 60.0  # seconds

BATCH: Final = 64  # datagrams; a flood of events must not prevent the dump

_CANCELLED: Final = object()

# A function that returns Miredo's socket, or None. Its second argument is the last result.
Find: TypeAlias = Callable[[SocketTable, UdpSocket | None], UdpSocket | None]


class Resource(Protocol):
    """An object that must be closed."""

    def close(self) -> None: ...


R = TypeVar("R", bound=Resource)

_subscriptions: Final[set[MiredoSubscription]] = set()


class MiredoSubscription:
    """A registration of a sink, with the thread that pushes to it."""

    def __init__(self, find: Find, sink: Sink, initial: bool) -> None:
        self._find = find
        self._sink = sink
        self._found: UdpSocket | None = None
        self._resources: list[Resource] = []
        _subscriptions.add(self)
        try:
            # The listening sockets are bound before the first dump, so the events of every
            # change after the dump are received.
            self._open()
            self._follow(self._find(self._table, None))
            if initial:
                self._push(NotificationType.INITIAL)

            # The tunnel may have been announced before the sockets were bound.
            self._expect_bind()

            # A daemon, because the interpreter joins all other threads before its atexit
            # hooks run, and one of the hooks cancels the last watch and ends this thread.
            self._thread = start_thread(self._run, name="aioteredo miredo", daemon=True)
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        self._table = self._keep(SocketTable())
        self._link_table = self._keep(LinkTable())
        self._links = self._keep(Listener(NETLINK_ROUTE, RTNLGRP_LINK, RTNLGRP_IPV6_IFADDR))
        self._closes = self._keep(CloseListener())

        with as_backend_error("socketpair"):
            waker, woken = socket.socketpair()
        self._waker = self._keep(waker)
        self._woken = self._keep(woken)

        with as_backend_error("epoll_create1"):
            self._selector = self._keep(selectors.DefaultSelector())
        self._selector.register(self._links, selectors.EVENT_READ)
        self._selector.register(self._closes, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ, _CANCELLED)

    def _keep(self, resource: R) -> R:
        self._resources.append(resource)
        return resource

    def cancel(self) -> None:
        """End the thread and close the sockets.

        Can be called again if an exception of a signal handler interrupted the call.
        """
        # Already cancelled, or closed in the child of a fork.
        if self not in _subscriptions:
            return

        # If close() was interrupted, one or both ends are closed. The thread has ended
        # before that.
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
        """Close the sockets of this process. Can be repeated."""
        # The subscription stays in the table until everything is closed. So cancel() calls
        # this again if Ctrl-C has interrupted it, and each resource can be closed twice.
        with ExitStack() as stack:
            for resource in self._resources:
                stack.callback(resource.close)
        _subscriptions.discard(self)

    def _update(self) -> None:
        # Repeated until nothing has changed: the found socket may have been closed before
        # _follow() had set the filter that lets its event through.
        while (found := self._find(self._table, self._found)) != self._found:
            self._follow(found)
            self._push(NotificationType.PARAMETER)

    def _follow(self, found: UdpSocket | None) -> None:
        self._closes.follow(found)
        self._found = found

    def _expect_bind(self) -> None:
        self._retry = RETRY_FIRST
        self._retry_until = monotonic() + RETRY_FOR

    def _push(self, notification_type: NotificationType) -> None:
        port = None if self._found is None else self._found.port
        self._sink.push(port, notification_type)

    # Called on the thread

    def _run(self) -> None:
        try:
            self._watch()
        except BackendError as error:
            self._sink.fail(error)
        except BaseException as error:  # noqa: BLE001 - the sink gets it
            unavailable = isinstance(error, BackendUnavailableError)
            code = errno.EACCES if unavailable else errno.EIO
            self._sink.fail(failure("MiredoBackend", code, "errno", error))
        finally:
            self._woken.shutdown(socket.SHUT_WR)  # cancel() waits for this

    def _watch(self) -> None:
        while True:
            ready = self._selector.select(self._next_retry())
            if any(key.data is _CANCELLED for key, _ in ready):
                return

            _receive_waiting(self._closes)
            if _receive_waiting(self._links):
                self._expect_bind()
            self._update()

    def _next_retry(self) -> float | None:
        """Return the seconds until the next dump without an event, or None for never."""
        if self._found is not None:
            return None

        if monotonic() < self._retry_until:
            seconds = self._retry
            self._retry *= 2
            return seconds

        # Without this dump, a port that is bound late, or bound again while the tunnel
        # stays, would be missed until the next event, which may never come.
        return RETRY_LATER if self._link_table.has_tunnel() else None


def _receive_waiting(listener: Listener) -> bool:
    """Receive the events that are waiting, at most BATCH datagrams.

    :return: whether a tunnel was announced, or may have been, because events were lost
    """
    tunnel_announced = False
    for _ in range(BATCH):
        try:
            messages = listener.receive()
        except EventsLostError:
            tunnel_announced = True
            continue
        if not messages:
            break
        if any(map(announces_tunnel, messages)):
            tunnel_announced = True
    return tunnel_announced


def _close_after_fork() -> None:  # pragma: no cover - it runs in the child
    # The threads stay in the parent process, so only the descriptors are closed here.
    for subscription in list(_subscriptions):
        subscription.close()


after_fork_in_child(_close_after_fork)
