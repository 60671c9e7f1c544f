"""A task sleeps, any thread wakes it: the one way in which aioteredo crosses threads.

The mailbox wakes its consumer by it, and ``run_sync`` its caller. anyio's own means do
not fit: ``from_thread`` blocks the notifying thread until the loop has run the call, and
an Event does not look at what the other thread has set.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from ._loop import EventLoop

# How a wake-up is never lost, without a lock that an event loop could have to wait for:
#
# 1. The sleeper calls prepare(), which appends a waiter to ``waiters``.
# 2. The sleeper looks once more for the thing that it waits for (an event, a result).
# 3. If the thing is not there, the sleeper awaits the waiter.
#
# a. The waking thread makes the thing visible.
# b. The waking thread calls wake(), which reads ``waiters`` and posts to the loop.
#
# Steps 1 and b use the same deque. If b comes after 1, it finds the waiter and posts. The
# loop runs nothing between 2 and 3, so the posted call finds the task asleep. If b comes
# before 1, then a came before 2, and the sleeper's second look finds the thing.
#
# Without the GIL, a deque has a lock of its own that each of its methods takes. That lock
# orders 1 and b, and orders the stores before its release before the loads after the next
# acquisition: a before 2.


class ParkingSpot:
    """A place for one task of an event loop; its user sees to it that one task sleeps."""

    __slots__ = ("prepare", "waiters", "wake")

    waiters: deque[Any]
    """The waiter of the task that sleeps or is about to; empty if there is none.

    The sleeper clears it when it is awake.
    """

    prepare: Callable[[], Awaitable[None]]
    """Add a waiter for the calling task and return it. In the loop's thread.

    The sleep can end without a reason, so the sleeper has to look again.
    """

    wake: Callable[[], bool]
    """Have the loop resume the task, if one has prepared. From any thread; never blocks.

    Returns False if the loop is closed and the task will not be resumed. If it raises,
    the task is still asleep, and the next call wakes it.
    """

    def __init__(self, loop: EventLoop) -> None:
        # Closures rather than methods: the waking thread runs on another processor than
        # the loop, and has to fetch each object that it touches from there.
        waiters: deque[Any] = deque()
        create_waiter = loop.create_waiter
        is_closed = loop.is_closed
        post = loop.post
        resume = loop.resume

        def prepare() -> Awaitable[None]:
            waiter = create_waiter()
            waiters.clear()  # of a sleep that an exception has ended
            waiters.append(waiter)
            return waiter

        def wake() -> bool:
            try:
                waiter = waiters[-1]
            except IndexError:
                return True

            # Post first, then remove. In the other order, an exception between the two
            # (MemoryError, Ctrl-C) would leave a task asleep that nothing wakes. To
            # resume a waiter a second time has no effect.
            woken = True
            try:
                post(resume, waiter)
            except RuntimeError:
                # Asked before, the loop could have closed right after its answer. An
                # error of an open loop must not pass for "closed": it loses a wake-up.
                if not is_closed():
                    raise
                woken = False

            # From here on only the posted call holds the waiter. A loop that is closed
            # before it makes the call drops it, and nothing but the task itself holds
            # the task: the collector can destroy it together with its watch.
            with suppress(ValueError):  # the task was faster, and has cleared them
                waiters.remove(waiter)
            return woken

        self.waiters = waiters
        self.prepare = prepare
        self.wake = wake
