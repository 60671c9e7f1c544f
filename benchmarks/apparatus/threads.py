"""The processors on which the threads of a measure run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from threading import Thread
from typing import Final

from .sources import TimeStamps

# macOS and Windows have no such function. There the threads are never pinned.
_PROCESSORS: Final = (
    sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
)


def pin_thread(index: int) -> None:
    """Keep the calling thread, and those that it starts, on one processor."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {_PROCESSORS[index % len(_PROCESSORS)]})


def unpin_thread() -> None:
    """Let the calling thread, and those that it starts, run on every processor again."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, _PROCESSORS)


def start_thread(
    function: Callable[[], TimeStamps], *, pinned: bool = False
) -> Callable[[], TimeStamps]:
    """Start *function* on a notifying thread.

    :param pinned: whether the thread runs on another processor than the loop
    :return: a function that blocks until the thread has ended, and returns its result
    """
    results = list[TimeStamps]()

    def run() -> None:
        if pinned:
            pin_thread(1)
        results.append(function())

    # After Ctrl-C no consumer resumes the source any more. Only a daemon thread lets the
    # interpreter exit then.
    thread = Thread(target=run, daemon=True)
    thread.start()

    def join() -> TimeStamps:
        thread.join()
        return results[0]

    return join
