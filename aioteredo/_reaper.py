"""Cancelling on one background thread: for finalizers, and for cancels without a thread.

The thread is started when there is something to do, and ends when there is nothing left.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Final

from ._errors import BackendError
from ._fork import after_fork_in_child
from ._new_thread import start_thread


class Reaper:
    """Calls functions one after the other, on a thread of its own."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget the calls and the thread, as the child of a fork must."""
        # A finalizer can interrupt any Python code, even the methods of this class and
        # of threading. SimpleQueue.put() and a lock that is only tried never block it.
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._running = _thread.allocate_lock()  # held from the start to the last call

    def hand_over(self, call: Callable[[], object]) -> None:
        """Have *call* called soon. From any thread or finalizer; exceptions are dropped.

        If no thread can be started, it waits for the next :meth:`run_pending`.
        """
        self._calls.put(call)
        self._start()

    def run_pending(self) -> None:
        """Make the calls that no thread has made yet, on this thread. May block."""
        while not self._calls.empty():
            with suppress(Exception):
                self._calls.get_nowait()()

    def _start(self) -> None:
        if not self._running.acquire(blocking=False):
            return  # the thread that runs will find the call
        try:
            # threading.Thread takes locks that the interrupted code may hold, so a
            # finalizer starts a bare thread. The bare thread starts the proper one: the
            # interpreter waits for that before it exits, and threading knows it.
            _thread.start_new_thread(self._start_proper_thread, ())
        except RuntimeError:  # no thread can be started
            self._running.release()

    def _start_proper_thread(self) -> None:  # pragma: no cover - a bare thread isn't traced
        try:
            start_thread(self._run, name="aioteredo reaper")
        except BackendError:
            self._running.release()

    def _run(self) -> None:
        while True:
            self.run_pending()
            self._running.release()

            # A call that was handed over after the last look, and before the release,
            # has started no thread.
            if self._calls.empty() or not self._running.acquire(blocking=False):
                return


reaper: Final = Reaper()

# The thread stayed in the parent, and so did the registrations that it cancels.
after_fork_in_child(reaper.forget)
