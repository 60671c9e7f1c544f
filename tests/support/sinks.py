"""The sink of the tests that call a backend directly."""

from __future__ import annotations

import queue
import threading
from typing import Any

from aioteredo import BackendError

from .waiting import limit


class RecordingSink:
    """A sink that keeps everything it gets, and can hold the notifying thread in a push."""

    def __init__(self) -> None:
        self.pushed: list[tuple[Any, int]] = []
        self.failed: list[BackendError] = []
        self.threads: list[threading.Thread] = []
        self.hold = False
        self.held = threading.Event()
        self.release = threading.Event()
        self._untaken: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def push(self, value: Any, notification_type: int) -> None:
        self.threads.append(threading.current_thread())
        self.pushed.append((value, notification_type))
        self._untaken.put((value, notification_type))
        if self.hold:
            self.hold = False
            self.held.set()
            assert self.release.wait(limit())

    def fail(self, error: BackendError) -> None:
        self.failed.append(error)
        self._untaken.put(error)

    def take(self) -> Any:
        """Wait for the next push, a pair, or the failure, and return it."""
        return self._untaken.get(timeout=limit())

    def empty(self) -> bool:
        """Return whether everything has been taken."""
        return self._untaken.empty()
