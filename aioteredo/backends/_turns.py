"""Turns: the calls of several threads, one at a time. The simulated client uses them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Turns:
    """A lock that refuses a call which would wait for itself, instead of a deadlock."""

    def __init__(self) -> None:
        # Held during the whole of a call. Reentrant only because releasing an RLock raises
        # RuntimeError on a thread that does not hold it; run() relies on that.
        self._lock = threading.RLock()

        # The attribute `busy` is true on a thread that is inside a call, and on a thread
        # that never gets a turn. The identifier of a thread would not do: the system
        # reuses the identifier of a thread that has ended for another thread.
        self._this_thread = threading.local()

    def exclude_this_thread(self) -> None:
        """Refuse every call on this thread from now on."""
        self._this_thread.busy = True

    def run(self, call: Callable[[], T]) -> T:
        """Make *call* while no other thread makes one, and return its value.

        :raises RuntimeError: if this thread is inside a call already, or is excluded
        """
        if getattr(self._this_thread, "busy", False):
            raise RuntimeError(
                "this thread is already inside a call or a push of the same "
                "SimulatedBackend, so this call would wait for itself; make it on "
                "another thread, and do not wait for it here"
            )

        # No `with self._lock`: Ctrl-C can be raised after __enter__ has returned and
        # before the block begins, and the lock would stay held.
        try:
            self._this_thread.busy = True
            self._lock.acquire()
            return call()
        finally:
            self._this_thread.busy = False
            try:  # noqa: SIM105 - Ctrl-C could be raised inside of suppress()
                self._lock.release()
            except RuntimeError:  # interrupted before the lock was acquired
                pass
