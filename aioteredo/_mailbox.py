"""The buffer between the notifying thread and the task that receives: the hot path.

The backend calls ``push`` and ``fail``; the stream calls ``receive`` and ``close``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from anyio import BusyResourceError, ClosedResourceError
from anyio.lowlevel import checkpoint

from ._backend_failed import failure_of_stream
from ._errors import BackendError
from ._events import NotificationType
from ._loop import EventLoop
from ._parking import ParkingSpot

# The number of buffered events that a task receives in a row before other tasks get their
# turn. Without a limit, a fast client would starve them. tokio uses the same number.
BUDGET: Final = 128

ValueT = TypeVar("ValueT")
EventT = TypeVar("EventT", bound=tuple[Any, ...])

_TYPES: Final[dict[int, NotificationType | int]] = {t.value: t for t in NotificationType}
_new_tuple = tuple.__new__

# The number of the notification, the value, the notification type and monotonic_ns. The
# numbers begin at 1, and each push() takes the next one.
_Entry: TypeAlias = tuple[int, ValueT, int, int]


class Mailbox(Generic[ValueT, EventT]):
    """A sink for the values of a backend on one side, ``receive`` on the other.

    :param event_class: the class of the events: a named tuple of a value, its notification
        type, ``missed`` and ``monotonic_ns``
    """

    __slots__ = (
        "_budget",
        "_checkpoint",
        "_error",
        "_event_class",
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
    """Functions that receive() calls each time that the consumer is about to sleep.

    They run in the loop's thread and must not raise. A simulated client learns from them
    that the consumer has handled its events.
    """

    def __init__(
        self, loop: EventLoop, max_buffer_size: int, event_class: type[EventT]
    ) -> None:
        spot = ParkingSpot(loop)
        self._waiters = spot.waiters
        self._prepare = spot.prepare
        self._wake = spot.wake
        self._checkpoint = loop.checkpoint
        self._event_class = event_class

        self._events: deque[_Entry[ValueT]] = deque(maxlen=max_buffer_size)
        self._error: BackendError | None = None
        self._last_pushed = 0  # the number of the newest notification
        self._last_received = 0  # the number of the newest event that was received
        self._budget = BUDGET
        self._waiting = False  # a task sleeps, or was woken and has not run yet
        self.on_wait = ()

    # The wake-up protocol. No event is lost, and the consumer never sleeps while there is
    # one, although no lock is held over two steps:
    #
    # The notifying thread, in push():
    #   P1  appends the entry to ``_events``;
    #   P2  looks at the length of ``_waiters``;
    #   P3  calls wake() if there is a waiter, which posts a call to the loop. The call
    #       resumes the consumer.
    #
    # The consumer, in receive():
    #   C1  pops an entry, and returns if there was one;
    #   C2  adds a waiter to ``_waiters``;
    #   C3  looks a second time: it pops an entry, and returns if there is one now;
    #   C4  sleeps until it is resumed, pops an entry, and goes back to C2 if there is none.
    #
    # 1. P1 and C3 use the same deque, so one of them comes first. If P1 does, C3 finds the
    #    entry, and the consumer does not sleep. If C3 does, C2 came before P2, so P2 finds
    #    the waiter and P3 posts the call.
    # 2. The loop runs nothing between C3 and C4. The posted call finds the consumer asleep.
    # 3. A posted call carries no entry. A consumer that is cancelled after it was resumed,
    #    and before it runs, has taken nothing, so nothing is lost with it.
    # 4. wake() removes the waiter once the call is posted. Later calls of push() find none
    #    and post nothing: a stalled loop holds a full buffer and one posted call.
    # 5. fail() and close() change the mailbox instead of P1, and then always call wake().
    #    wake() reads ``_waiters``, the deque that C2 changes: it finds the waiter, or else
    #    the change came before C3, which then raises.
    # 6. The threads must agree on the order of these steps. With the GIL they do, because
    #    each step is one operation of a deque. Without the GIL, each method of a deque
    #    takes the lock of that deque. If C3 has taken the lock of ``_events`` before P1,
    #    all that the consumer did before C3 is visible after P1: P2 sees the waiter of C2,
    #    without a lock of its own. In 5, the lock of ``_waiters`` does the same for C2 and
    #    wake().
    #
    # No counter is shared either. A full deque drops its oldest entry by itself, and
    # ``missed`` is the gap between the numbers of two entries that follow each other. A
    # closed mailbox has a deque that holds nothing (maxlen=0), so a late push() needs no
    # test.

    def push(self, value: ValueT, notification_type: int, /) -> None:
        """Add an event. From any thread, one call at a time. Never blocks.

        A MemoryError means that the consumer could not be woken. The event is in the
        buffer, and the next call tries to wake the consumer again.
        """
        self._last_pushed = number = self._last_pushed + 1
        self._events.append((number, value, notification_type, monotonic_ns()))
        if self._waiters:
            self._wake()

    async def receive(self) -> EventT:
        """Receive the oldest event, and wait for it if there is none. In the loop's thread.

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

        number, value, notification_type, ns = entry
        missed = number - self._last_received - 1
        self._last_received = number
        kind = _TYPES.get(notification_type, notification_type)
        return _new_tuple(self._event_class, (value, kind, missed, ns))

    def _take(self) -> _Entry[ValueT] | None:
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
            raise failure_of_stream(error)
        return None

    async def _wait(self) -> _Entry[ValueT]:
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
            # The woken task clears these itself. If the thread that wakes it cleared
            # ``_waiting``, a second task could start to wait before this one runs. It would
            # take the event, and this task would have been woken for nothing.
            self._waiting = False
            self._waiters.clear()

    def fail(self, error: BackendError) -> None:
        """Let receive() raise *error* after the buffered events. From any thread."""
        self._error = error
        self._wake()

    def close(self) -> None:
        """Drop the events and ignore further ones. From any thread."""
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
        """The word for the mailbox in the repr of a stream."""
        if self.closed:
            return "closed"
        return "open" if self._error is None else "failed"

    @property
    def drained(self) -> bool:
        """Whether the consumer has received every event and waits for the next one.

        A mailbox that has never had an event is drained as well. From any thread.
        """
        # Read ``_waiting`` last. The consumer clears it before it counts an event as
        # received. So if ``_waiting`` is set now, the consumer has handled the newest event
        # and has come back for another one.
        all_received = self._last_received == self._last_pushed
        return all_received and (self._waiting or self._last_pushed == 0)
