"""The thread that runs everything that changes a simulated client, one job at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, Generic, TypeVar

from .._new_thread import start_thread
from .._outcome import Outcome

T = TypeVar("T")


class NotifyingThread:
    """A thread that runs jobs, and calls *idle* after *interval* seconds without a control.

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
        # queue.Queue would not do: it has locks in Python code, and a daemon thread that is
        # frozen when the interpreter exits could hold one of them.
        self._jobs: Final[queue.SimpleQueue[_Job[Any] | None]] = queue.SimpleQueue()
        self._interval = interval
        self._begin = begin
        self._idle = idle

        # A daemon, because the interpreter joins all threads that are not daemons before
        # its atexit hooks run. One of the hooks cancels the last subscription, which ends
        # this thread.
        self._thread = start_thread(self._work, name="aioteredo simulated", daemon=True)

    def run(self, job: Callable[[], T], *, control: bool = False) -> T:
        """Run *job* on the thread, and return its value or raise its exception.

        An exception of a signal handler ends the wait, but the thread still runs the job.

        :param control: True to delay the next *idle* to *interval* seconds from now
        """
        entry = _Job(job, control)
        self._jobs.put(entry)
        return entry.wait()

    def stop(self) -> None:
        """Finish the jobs that are waiting, then end the thread.

        Can be called again if an exception of a signal handler interrupted the call.
        """
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        self._begin()
        due = self._due()
        while True:
            # Check before each job. If the check came only when no job is waiting,
            # subscriptions that come and go without a pause would delay the idle call.
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
            del entry  # this loop would keep the job alive until the next one comes

    def _due(self) -> float | None:
        return None if self._interval is None else monotonic() + self._interval


class _Job(Generic[T]):
    """A call that its caller waits for."""

    def __init__(self, function: Callable[[], T], control: bool) -> None:
        self.control = control
        self._function = function
        self._outcome = Outcome[T]()
        self._pending = threading.Lock()
        self._pending.acquire()

    def run(self) -> None:
        self._outcome.capture(self._function)
        self._pending.release()

    def wait(self) -> T:
        self._pending.acquire()
        return self._outcome.unwrap()
