"""The table of the registrations that have not been cancelled yet, and of their loops.

It cancels those that nobody else cancels: of a closed event loop, and at the exit.
"""

from __future__ import annotations

import atexit
from collections.abc import Hashable
from threading import RLock
from typing import Final, Protocol

from ._backend import Subscription
from ._fork import after_fork_in_child
from ._loop import EventLoop
from ._reaper import reaper


class Registered(Hashable, Protocol):
    """A registration that can be cancelled."""

    orphaned: bool
    """Whether it was cancelled because its event loop had been closed."""

    def cancel_quietly(self) -> None:
        """Cancel and remove it, unless that has been done. May block. Drops exceptions."""


class Registry:
    """The subscription and the event loop of each registration of the process."""

    subscriptions: dict[Registered, Subscription]
    """The subscription of each registration. It may be read without the lock."""

    lock: RLock
    """The lock that the caller of add() and remove() holds.

    An event loop takes it only if it is free, and a finalizer never: it could have to wait
    for a thread that is in the middle of a change.
    """

    def __init__(self) -> None:
        self.subscriptions = {}
        self._by_loop: dict[Hashable, tuple[EventLoop, set[Registered]]] = {}
        self.lock = RLock()

    def forget(self) -> None:  # pragma: no cover - it runs in the child of a fork
        """Forget the registrations, which a forked child leaves to its parent."""
        self.subscriptions.clear()
        self._by_loop.clear()
        self.lock = RLock()

    # Ctrl-C can interrupt add() and remove(). A registration is the first thing that add()
    # stores and the last one that remove() deletes. So the table still has it, and the next
    # call of remove() completes the removal.

    def add(
        self, registration: Registered, loop: EventLoop, subscription: Subscription
    ) -> None:
        """Add a registration of a task of *loop*."""
        self.subscriptions[registration] = subscription
        _, group = self._by_loop.setdefault(loop.native, (loop, set()))
        group.add(registration)

    def remove(self, registration: Registered, loop: EventLoop) -> None:
        """Remove a registration, if it is in the table."""
        _, group = self._by_loop.get(loop.native, (loop, set[Registered]()))
        group.discard(registration)
        if not group:
            self._by_loop.pop(loop.native, None)
        self.subscriptions.pop(registration, None)

    def has_orphans(self) -> bool:
        """Return whether cancel_orphans() has something to do. Never blocks."""
        if reaper.has_pending:
            return True
        return bool(self._groups_of_closed_loops())

    def _groups_of_closed_loops(self) -> list[set[Registered]]:
        # The lock is not held while is_closed() is called, and copying the table is atomic.
        # On trio, is_closed() makes a system call, which releases the GIL. Loops of other
        # threads would find the lock in use, and would start a thread for each watch that
        # they open or close.
        groups = self._by_loop.copy().values()
        return [group for loop, group in groups if loop.is_closed()]

    def cancel_orphans(self) -> None:
        """Cancel the registrations of closed event loops, and those the reaper still has.

        A loop that is closed drops the calls that it has not made, so a task can stay
        suspended until the process ends. The collector does not always find the task:
        anyio's table of tasks keeps a task that is inside of a cancel scope. The reaper
        still has registrations if the system has refused it a thread.
        """
        reaper.run_pending()

        for group in self._groups_of_closed_loops():
            for orphan in group.copy():
                orphan.orphaned = True
                orphan.cancel_quietly()

    def cancel_all(self) -> None:
        """Cancel every registration that is left when the interpreter exits.

        A finalizer would be too late: by then a callback that needs the GIL never returns,
        and cancelling waits for the callback.

        Ctrl-C can interrupt this anywhere. The registration that it interrupts is tried
        again, after all others have had their turn, and the exception is raised at the end.
        """
        interruption: BaseException | None = None
        for _ in range(3):
            for registration in list(self.subscriptions):
                try:
                    registration.cancel_quietly()
                except BaseException as exc:  # noqa: BLE001 - raised at the end
                    interruption = exc

        if interruption is not None:
            raise interruption


registry: Final = Registry()

# Ctrl-C can end a hook outside of its try block. atexit then goes on with the next hook, so
# the second registration makes up for a first call that was interrupted there.
atexit.register(registry.cancel_all)
atexit.register(registry.cancel_all)

after_fork_in_child(registry.forget)
