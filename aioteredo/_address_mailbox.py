"""The mailbox of a watch for addresses, which takes changes only."""

from __future__ import annotations

from typing import TypeAlias

from ._addresses import TeredoAddress, in_order
from ._events import AddressEvent, NotificationType
from ._loop import EventLoop
from ._mailbox import Mailbox

Addresses: TypeAlias = tuple[TeredoAddress, ...]


class AddressMailbox(Mailbox[Addresses, AddressEvent]):
    """A mailbox that ignores a notification if the addresses have not changed.

    A backend must push the initial addresses, even for a watch that does not want them.

    :param initial: whether the initial addresses are an event
    """

    # Windows notifies of each change of any unicast address, and most of them belong to
    # other interfaces than Teredo's. The backend then pushes the same Teredo addresses
    # again. If the mailbox did not know the addresses at the beginning, it would take the
    # first such push for a change.
    #
    # The initial push brings these addresses. The backend makes it in order with the
    # changes, so no change is lost and none counts twice. If a call of its own read the
    # addresses, before or after the registration, a change in between could be lost or
    # counted twice.

    __slots__ = ("_initial", "_newest")

    def __init__(self, loop: EventLoop, max_buffer_size: int, initial: bool) -> None:
        super().__init__(loop, max_buffer_size, AddressEvent)
        self._initial = initial
        self._newest: Addresses | None = None

    def push(self, value: Addresses, notification_type: int, /) -> None:
        """Add an event if the addresses have changed. From any thread, one call at a time.

        A notification that is ignored does not count as missed.

        :raises TypeError: if *value* is not a tuple of TeredoAddress
        """
        addresses = in_order(value)
        previous = self._newest
        if addresses == previous:
            return
        self._newest = addresses

        # Only the first push can be the start. A backend that connects to its system again
        # may push INITIAL a second time, and other addresses are then a change.
        is_start = previous is None and notification_type == NotificationType.INITIAL
        if self._initial or not is_start:
            super().push(addresses, notification_type)
