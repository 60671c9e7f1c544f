"""A signal that a test sends to its own process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator

from ..support.waiting import join, start_thread, wait_until


@contextlib.contextmanager
def signal_when(ready: Callable[[], bool], number: int) -> Iterator[None]:
    """Signal this process from another thread, once *ready* returns true."""

    def stop() -> None:
        try:
            wait_until(ready, "the moment to signal")
        finally:
            # Without the signal, the command of the test would never end.
            if sys.platform == "win32":
                signal.raise_signal(number)
            else:
                os.kill(os.getpid(), number)

    thread = start_thread(stop)
    yield
    join(thread)
