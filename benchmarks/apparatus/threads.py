"""The threads of a measure: which processor each runs on, and how one is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from threading import Thread
from typing import Final

from .sources import TimeStamps

# macOS and Windows let nobody choose, or not like this
_PROCESSORS: Final = (
    sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
)


def pin_thread(index: int) -> None:
    """Keep the calling thread, and those it starts, on one processor of its own."""
    if sys.platform == "linux" and _PROCESSORS:
        os.sched_setaffinity(0, {_PROCESSORS[index % len(_PROCESSORS)]})


def unpin_thread() -> None:
    """Let the calling thread, and those it starts, run anywhere again."""
    if sys.platform == "linux" and _PROCESSORS:
        os.sched_setaffinity(0, _PROCESSORS)


def start_thread(
    function: Callable[[], TimeStamps], *, pinned: bool = False
) -> Callable[[], TimeStamps]:
    """Start *function* on a thread of its own.

    :param pinned: on another processor than the loop
    :return: what waits for its result; it blocks
    """
    results = list[TimeStamps]()

    def run() -> None:
        if pinned:
            pin_thread(1)
        results.append(function())

    # a daemon: who is interrupted does not resume it any more, and is not to wait for it
    thread = Thread(target=run, daemon=True)
    thread.start()

    def result() -> TimeStamps:
        thread.join()
        return results[0]

    return result
