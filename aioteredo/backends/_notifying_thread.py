"""A thread that does one job after the other, and waits with its caller for each.

It is a daemon: the interpreter joins all others *before* it runs ``atexit``, and that is
what cancels the last subscription and so ends this one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class NotifyingThread:
    """Runs one job at a time, and *idle* after each *interval* seconds without one."""

    def __init__(self, interval: float | None, idle: Callable[[], object]) -> None:
        # SimpleQueue has no lock of Python's that an interpreter's exit could leave held
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]
        self._jobs = queue.SimpleQueue()
        self._interval, self._idle = interval, idle
        self._thread = threading.Thread(
            target=self._work, name="aioteredo simulated", daemon=True
        )
        self._thread.start()

    def run(self, job: Callable[[], T]) -> T:
        """Return what *job* returns, raise what it raises, once its turn has come."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future.result()

    def stop(self) -> None:
        """Return when the jobs so far are done and the thread has ended."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                item = self._jobs.get(timeout=self._interval)
            except queue.Empty:
                self._idle()
                continue
            if item is None:
                return
            job, future = item
            try:
                future.set_result(job())
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                future.set_exception(error)
            del item, job, future  # nothing of a job outlives it, whatever comes next
