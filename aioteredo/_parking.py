"""A place where a task sleeps until any thread wakes it.

The mailbox wakes its consumer here, and ``run_sync`` its caller. Nothing else in aioteredo
crosses from a thread to an event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from ._loop import EventLoop

# anyio has no function for this. ``anyio.from_thread.run_sync`` would block the notifying
# thread until the loop has made the call, and a callback must not wait for the loop.
#
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
# orders 1 and b. If b takes it first, the store of a is visible after 1, and so in 2.


class ParkingSpot:
    """A place where one task of an event loop sleeps.

    Its user must not let a second task sleep there at the same time.
    """

    __slots__ = ("prepare", "waiters", "wake")

    waiters: deque[Any]
    """The waiter of the task that sleeps or is about to sleep; empty if there is none.

    The sleeper clears the deque when it is awake.
    """

    prepare: Callable[[], Awaitable[None]]
    """Add a waiter for the calling task and return it. In the loop's thread.

    A wake-up can be spurious, so the sleeper has to look again.
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
            waiters.clear()  # an exception that ended a sleep may have left its waiter
            waiters.append(waiter)
            return waiter

        def wake() -> bool:
            try:
                waiter = waiters[-1]
            except IndexError:
                return True

            # Post first, then remove. In the other order, an exception between the two
            # (MemoryError, Ctrl-C) would leave a task asleep that nothing wakes. Resuming a
            # waiter a second time has no effect.
            woken = True
            try:
                post(resume, waiter)
            except RuntimeError:
                # Ask only now whether the loop is closed: it could close between an earlier
                # answer and the post. A RuntimeError of an open loop is raised, because the
                # caller must know that the wake-up is lost.
                if not is_closed():
                    raise
                woken = False

            # Remove the waiter, because the deque must not keep the task alive. From here
            # on only the call that was posted to the loop holds the waiter. A loop that is
            # closed drops the call, so the collector can destroy the task and its watch.
            with suppress(ValueError):  # the task already runs, and has cleared the deque
                waiters.remove(waiter)
            return woken

        self.waiters = waiters
        self.prepare = prepare
        self.wake = wake
