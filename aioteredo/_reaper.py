"""One background thread that cancels for callers that cannot wait, such as finalizers.

The thread is started by the first call that is handed over, and ends when none is left.
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
        # A finalizer can interrupt any Python code, even the methods of this class and of
        # threading. It would wait without an end for a lock that the interrupted code
        # holds. SimpleQueue.put() is reentrant, and ``_running`` is only acquired if it is
        # free.
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._running = _thread.allocate_lock()  # held while there is a thread

    def hand_over(self, call: Callable[[], object]) -> None:
        """Have *call* called soon. From any thread or finalizer. Exceptions are dropped.

        If no thread can be started, the call waits for the next :meth:`run_pending`.
        """
        self._calls.put(call)
        self._start()

    @property
    def has_pending(self) -> bool:
        """Whether a call waits to be made. From any thread; never blocks."""
        return not self._calls.empty()

    def run_pending(self) -> None:
        """Make the calls that no thread has made yet, on this thread. May block."""
        while self.has_pending:
            with suppress(Exception):
                self._calls.get_nowait()()

    def _start(self) -> None:
        if not self._running.acquire(blocking=False):
            return  # the thread that runs will find the call
        try:
            # threading.Thread takes locks that the interrupted code may hold, so a
            # finalizer starts a bare thread. The bare thread then starts a
            # threading.Thread, which the interpreter waits for before it exits.
            _thread.start_new_thread(self._start_joined_thread, ())
        except RuntimeError:  # The system refuses another thread.
            self._running.release()

    def _start_joined_thread(self) -> None:  # pragma: no cover - a bare thread isn't traced
        try:
            start_thread(self._run, name="aioteredo reaper")
        except BackendError:
            self._running.release()

    def _run(self) -> None:
        while True:
            self.run_pending()
            self._running.release()

            # A call that was handed over between the last look and the release has started
            # no thread, because this one still held the lock. So look again.
            if self._calls.empty() or not self._running.acquire(blocking=False):
                return


reaper: Final = Reaper()

# A forked child does not have the thread, and must not make the calls of its parent.
after_fork_in_child(reaper.forget)
