"""Miredo's port, read from the kernel's table of UDP sockets (inet_diag)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Final, TypeAlias

from ._inet_diag import CloseListener, SocketTable, UdpSocket
from ._listener import Listener
from ._netlink import NETLINK_ROUTE
from ._source import Resources
from ._tunnels import RTNLGRP_IPV6_IFADDR, RTNLGRP_LINK, LinkTable, announces_tunnel

# The port is found by a dump of the kernel's UDP sockets. The thread makes a dump when one
# of these events comes, and at some times without an event:
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

# A function that returns Miredo's socket, or None. Its second argument is the last result.
Find: TypeAlias = Callable[[SocketTable, UdpSocket | None], UdpSocket | None]


class PortSource:
    """The port, and the events after which it may have changed."""

    def __init__(self, find: Find, resources: Resources) -> None:
        self._find = find
        self._found: UdpSocket | None = None
        self._table = resources.keep(SocketTable())
        self._link_table = resources.keep(LinkTable())
        self._links = resources.keep(
            Listener(NETLINK_ROUTE, RTNLGRP_LINK, RTNLGRP_IPV6_IFADDR)
        )
        self._closes = resources.keep(CloseListener())
        self.listeners = (self._links, self._closes)

    def first(self) -> int | None:
        """Return the current port."""
        # The tunnel may have been announced before the sockets were bound.
        self._expect_bind()
        return self._follow(self._find(self._table, None))

    def timeout(self) -> float | None:
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

    def changes(self) -> Iterator[int | None]:
        """Receive the events that are waiting, and return the ports after them."""
        self._closes.receive_waiting(announces_tunnel)
        if self._links.receive_waiting(announces_tunnel):
            self._expect_bind()

        # Repeated until nothing has changed: the found socket may have been closed before
        # _follow() had set the filter that lets its event through.
        while (found := self._find(self._table, self._found)) != self._found:
            yield self._follow(found)

    def _follow(self, found: UdpSocket | None) -> int | None:
        self._closes.follow(found)
        self._found = found
        return None if found is None else found.port

    def _expect_bind(self) -> None:
        self._retry = RETRY_FIRST
        self._retry_until = monotonic() + RETRY_FOR
