"""The buffer between the notifying thread and the task that receives: the hot path.

The backend calls ``push``, the stream calls ``receive``. Memory is bounded: a stalled loop
holds ``max_buffer_size`` events and one posted call, however many notifications arrive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Final, Literal, TypeAlias

from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError
from anyio.lowlevel import checkpoint

from ._errors import BackendError
from ._events import NotificationType, PortEvent
from ._loop import EventLoop
from ._parking import ParkingSpot
from ._public import public

# Ready events that a task receives in a row before other tasks get their turn (tokio's
# number).
BUDGET: Final = 128

_TYPES: Final[dict[int, NotificationType | int]] = {t.value: t for t in NotificationType}
_new_tuple = tuple.__new__

# number, port, notification type, monotonic_ns
_Entry: TypeAlias = tuple[int, int | None, int, int]


@public
class BackendFailedError(BackendError, BrokenResourceError):
    """The backend failed after it had registered the watch; no more events will come.

    A :exc:`BackendError`, and the class that anyio's streams raise when the other end has
    broken. ``__cause__`` is the exception that made the backend fail, if there was one.
    """


# The notifying thread appends an entry to a bounded deque, and wakes the consumer only if
# it sleeps. ``loop.call_soon_threadsafe(queue.put_nowait, event)``, the usual recipe, posts
# a call for each event, so a stalled loop holds all of them.
#
# 1. push() appends the entry, then looks at ``_waiters``. If the consumer sleeps or is
#    about to, push() wakes it. (a and b of the protocol in _parking.py)
# 2. receive() pops an entry. If there is none, it prepares to sleep, looks once more, and
#    sleeps. (1 to 3 of that protocol)
#
# push() looks at the length of ``_waiters`` without the lock of that deque, which is
# cheaper than to call wake() for each event. Without the GIL the lock of ``_events`` makes
# that safe. If receive()'s second look takes this lock before push() appends, the waiter
# was added before that, and push() sees it. Otherwise the second look finds the entry.
#
# A wake-up carries no entry. A task that is cancelled after it was woken, and before it
# runs, has taken nothing, so nothing is lost with it.
#
# ``deque(maxlen=n)`` drops the oldest entry by itself. Each notification has a number, and
# ``missed`` is the gap between the numbers of two entries that follow each other, so no
# counter is shared. A closed mailbox has a deque that holds nothing (maxlen=0), so a late
# push() needs no test.


class Mailbox:
    """A :class:`~aioteredo.Sink` on one side, ``receive`` on the other."""

    __slots__ = (
        "_budget",
        "_checkpoint",
        "_error",
        "_events",
        "_last_pushed",
        "_last_received",
        "_prepare",
        "_waiters",
        "_waiting",
        "_wake",
        "on_wait",
    )

    on_wait: tuple[Callable[[], object], ...]
    """Called in the loop's thread each time that the consumer is about to sleep.

    They must not raise. A test's Teredo client learns from them that a consumer has
    handled its events.
    """

    def __init__(self, loop: EventLoop, max_buffer_size: int) -> None:
        spot = ParkingSpot(loop)
        self._waiters = spot.waiters
        self._prepare = spot.prepare
        self._wake = spot.wake
        self._checkpoint = loop.checkpoint

        self._events: deque[_Entry] = deque(maxlen=max_buffer_size)
        self._error: BackendError | None = None
        self._last_pushed = 0  # the number of the newest notification
        self._last_received = 0  # the number of the newest event that was received
        self._budget = BUDGET
        self._waiting = False  # a task sleeps, or was woken and has not run yet
        self.on_wait = ()

    # any thread

    def push(self, port: int | None, notification_type: int) -> None:
        """Add an event. From any thread, one call at a time; never blocks.

        An exception (MemoryError) means that the consumer could not be woken. The event is
        there, and the next call tries again.
        """
        self._last_pushed = number = self._last_pushed + 1
        self._events.append((number, port, notification_type, monotonic_ns()))
        if self._waiters:
            self._wake()

    def fail(self, error: BackendError) -> None:
        """Have *error* raised once the buffered events are received. From any thread."""
        self._error = error
        self._wake()

    def close(self) -> None:
        """Drop the events and refuse more. From any thread."""
        self._events = deque(maxlen=0)
        self._wake()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._events.maxlen == 0

    @property
    def buffered(self) -> int:
        """The number of events that have not been received yet."""
        return len(self._events)

    @property
    def missed(self) -> int:
        """The number of events that were dropped since the last one was received."""
        try:
            oldest = self._events[0][0]
        except IndexError:
            return 0
        return oldest - self._last_received - 1

    @property
    def state(self) -> Literal["open", "failed", "closed"]:
        """Whether events can still come."""
        if self.closed:
            return "closed"
        return "open" if self._error is None else "failed"

    @property
    def drained(self) -> bool:
        """Whether the consumer has received every event and waits for the next one.

        A mailbox that has never had an event is drained as well. From any thread.
        """
        # Read ``_waiting`` last. The consumer clears it before it counts an event as
        # received, so if it is set now, the consumer has come back after the newest one.
        all_received = self._last_received == self._last_pushed
        return all_received and (self._waiting or self._last_pushed == 0)

    # the loop's thread

    async def receive(self) -> PortEvent:
        """Receive the oldest event, waiting for one if there is none.

        :raises ClosedResourceError: after :meth:`close`
        :raises BackendFailedError: after :meth:`fail`, once there is no event left
        :raises BusyResourceError: if another task waits
        """
        if self._budget > 0:
            self._budget -= 1
            await self._checkpoint()
        else:
            self._budget = BUDGET
            await checkpoint()

        entry = self._take()
        if entry is None:
            entry = await self._wait()

        number, port, notification_type, ns = entry
        missed = number - self._last_received - 1
        self._last_received = number
        kind = _TYPES.get(notification_type, notification_type)
        return _new_tuple(PortEvent, (port, kind, missed, ns))

    def _take(self) -> _Entry | None:
        # Read the error before popping. fail() comes after the last push(), so if it is
        # set here, an empty deque means that no event is left. Read afterwards, it could
        # overtake an event that was pushed in between.
        error = self._error
        try:
            return self._events.popleft()
        except IndexError:
            pass

        if self.closed:
            raise ClosedResourceError
        if error is not None:
            raise _failure(error)
        return None

    async def _wait(self) -> _Entry:
        if self._waiting:
            raise BusyResourceError("receiving from")

        try:
            self._waiting = True
            self._budget = BUDGET
            while True:
                waiter = self._prepare()
                entry = self._take()
                if entry is not None:
                    return entry

                for call in self.on_wait:
                    call()
                await waiter
                entry = self._take()
                if entry is not None:
                    return entry
        finally:
            # The woken task clears these itself. If the waker cleared ``_waiting``, another
            # task could start waiting in the gap and displace this one.
            self._waiting = False
            self._waiters.clear()


def _failure(error: BackendError) -> BackendFailedError:
    # A new object each time. One exception that several tasks raise, or one task twice,
    # would mix their tracebacks, contexts and notes.
    failure = BackendFailedError(error.function, error.code, error.table)
    failure.__cause__ = error.__cause__ if type(error) is BackendError else error
    for note in getattr(error, "__notes__", ()):
        failure.add_note(note)
    return failure
