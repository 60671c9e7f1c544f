"""From the notifying thread into the event loop: the one hot path of this package.

The notifying thread appends to a bounded deque and posts a wake-up to the loop, but only
for a consumer that sleeps, and only the first time. So a loop that is stalled holds one
handle at most and ``max_buffer_size`` events, whatever arrives, and who is busy with
events already is not told of more. ``loop.call_soon_threadsafe(queue.put_nowait, event)``,
the usual recipe, holds a handle and writes to the loop's self-pipe for each.

No lock is needed. The order of the steps is what makes it right:

* The consumer, having found nothing, sets ``_asleep``, *then* looks again, *then* sleeps.
* The producer appends, *then* reads ``_asleep``; if it is set, clears it, *then* posts.

An event appended before the flag was set is found by that second look; one appended
after it finds the flag set and posts, and since the loop runs nothing between the look
and the sleep, what was posted finds the consumer asleep. Pushes are serialized by the
backend, the consumer runs in the loop's thread, and a deque's ``append`` and ``popleft``
are atomic.

``deque(maxlen=n)`` drops the oldest by itself. Since every notification has a number,
``missed`` is the gap between two numbers that follow each other: there is no counter
to share. A closed mailbox is one whose deque holds nothing (``maxlen=0``), so neither
the push that comes too late nor the flag for it needs a test on the hot path.

A wake-up carries no event. A task that is cancelled after it was resumed and before it
ran has therefore taken nothing, and nothing is lost with it.

Each layer that is a coroutine of its own is resumed and finished for each event that
had to be waited for. So ``async for`` awaits :meth:`Mailbox.receive` itself, and that
awaits the loop's own future: the round trip through an idle loop, in one thread, takes
4.2 µs on uvloop (a bare Future 2.6, this with three coroutines 4.5) and 11.0 on asyncio
(9.2, 11.4).
"""

from __future__ import annotations

from collections import deque
from time import monotonic_ns
from typing import Final

from anyio import BusyResourceError, ClosedResourceError
from anyio.lowlevel import checkpoint

from ._errors import BackendError
from ._events import NotificationType, PortEvent
from ._loop import EventLoop

# So many ready events in a row, then other tasks get their turn (tokio's number).
BUDGET: Final = 128

_TYPES: Final[dict[int, NotificationType | int]] = {t.value: t for t in NotificationType}
_new_tuple = tuple.__new__


class Mailbox:
    """A :class:`~aioteredo.Sink` on one side, ``receive`` on the other."""

    __slots__ = (
        "_asleep",
        "_budget",
        "_error",
        "_events",
        "_last",
        "_loop",
        "_number",
        "_waiting",
        "_wake",
    )

    def __init__(self, loop: EventLoop, max_buffer_size: int) -> None:
        self._loop = loop
        self._wake = loop.threadsafe(loop.unpark)
        self._events: deque[tuple[int, int | None, int, int]]
        self._events = deque(maxlen=max_buffer_size)
        self._number = 0  # of the last notification, the notifying thread's
        self._last = 0  # of the last event taken, the consumer's
        self._budget = BUDGET
        self._waiting = False  # a task waits, or was woken and has not run yet
        self._asleep = False  # it waits, and has not been woken
        self._error: BackendError | None = None

    # any thread

    def push(self, port: int | None, notification_type: int) -> None:
        """Add an event. From any thread, one call at a time; never blocks or raises."""
        self._number = number = self._number + 1
        self._events.append((number, port, notification_type, monotonic_ns()))
        if self._asleep:
            self._asleep = False
            self._wake()

    def fail(self, error: BackendError) -> None:
        """Have *error* raised once the buffered events are taken. From any thread."""
        self._error = error
        self._wake()

    def close(self) -> None:
        """Drop the events and refuse more. From any thread."""
        self._events = deque(maxlen=0)
        self._error = None
        self._wake()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._events.maxlen == 0

    # the loop's thread

    async def receive(self) -> PortEvent:
        """Take the oldest event, waiting for one if there is none.

        :raises ClosedResourceError: after :meth:`close`
        :raises BackendError: after :meth:`fail`, once there is no event left
        :raises BusyResourceError: if another task waits
        """
        if self._budget <= 0:  # less, if another task receives during the checkpoint
            self._budget = BUDGET
            await checkpoint()
        self._budget -= 1
        while True:
            error = self._error  # read before the look: what came before it is found
            try:
                number, port, notification_type, ns = self._events.popleft()
            except IndexError:
                pass
            else:
                break
            if self.closed:
                raise ClosedResourceError
            if error is not None:
                raise error.with_traceback(None)  # each time anew, or it would grow
            if self._waiting:
                raise BusyResourceError("receiving from")
            self._waiting = self._asleep = True
            try:
                if not self._events:
                    self._budget = BUDGET
                    await self._loop.park()
            finally:
                self._asleep = False
                self._waiting = False  # not before it runs: another would take its place
        missed = number - self._last - 1
        self._last = number
        kind = _TYPES.get(notification_type, notification_type)
        return _new_tuple(PortEvent, (port, kind, missed, ns))
