"""A thread that does one job after the other, and waits with its caller for each.

The simulated client runs everything that changes it on such a thread. The thread is a
daemon: the interpreter joins all others *before* it runs ``atexit``, and the hooks that
run there cancel the last subscription and so end this thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, Generic, TypeVar

from .._new_thread import start_thread

T = TypeVar("T")


class NotifyingThread:
    """Runs one job at a time, and *idle* when *interval* seconds bring no control.

    :param begin: called on the thread before anything else
    :param idle: must not raise
    :raises BackendError: if the system refuses another thread
    :raises BackendUnavailableError: in a subinterpreter without daemon threads
    """

    def __init__(
        self,
        interval: float | None,
        *,
        begin: Callable[[], object],
        idle: Callable[[], object],
    ) -> None:
        # SimpleQueue has no lock of Python's that an interpreter's exit could leave held
        self._jobs: Final[queue.SimpleQueue[_Job[Any] | None]] = queue.SimpleQueue()
        self._interval = interval
        self._begin = begin
        self._idle = idle
        self._thread = start_thread(self._work, name="aioteredo simulated", daemon=True)

    def run(self, job: Callable[[], T], *, control: bool = False) -> T:
        """Return what *job* returns, raise what it raises, once its turn has come.

        An exception of a signal handler ends the wait; the thread does the job anyway.

        :param control: whether *idle* is put off until *interval* seconds from now
        """
        entry = _Job(job, control)
        self._jobs.put(entry)
        return entry.wait()

    def stop(self) -> None:
        """Return when the jobs so far are done and the thread has ended.

        Can be called again if an exception of a signal handler interrupted the call.
        """
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        self._begin()
        due = self._due()
        while True:
            # Looked at before each job: subscriptions that come and go without a pause
            # would otherwise put off the idle call as long as they do.
            if due is not None and monotonic() >= due:
                self._idle()
                due = self._due()

            timeout = None if due is None else max(0.0, due - monotonic())
            try:
                entry = self._jobs.get(timeout=timeout)
            except queue.Empty:
                continue
            if entry is None:
                return
            entry.run()
            if entry.control:
                due = self._due()
            del entry  # Else the job would be kept alive until the next one comes.

    def _due(self) -> float | None:
        return None if self._interval is None else monotonic() + self._interval


class _Job(Generic[T]):
    """A call, and its value or its exception."""

    def __init__(self, function: Callable[[], T], control: bool) -> None:
        self.control = control
        self._function = function
        self._value: T
        self._error: BaseException | None = None
        # A bare lock: concurrent.futures.Future would do, but imports logging.
        self._pending = threading.Lock()
        self._pending.acquire()

    def run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            self._error = error
        self._pending.release()

    def wait(self) -> T:
        self._pending.acquire()
        if self._error is None:
            return self._value
        try:
            raise self._error
        finally:
            del self._error  # no cycle of the exception with its own traceback
