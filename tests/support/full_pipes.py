"""Pipes that fill up because nobody reads them."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import IO

from .waiting import wait_until


def count_unread_bytes(pipe: IO[bytes]) -> int:
    """Return the number of bytes that can be read from *pipe*."""
    if sys.platform == "win32":
        raise NotImplementedError
    import fcntl
    import termios

    number = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
    return int.from_bytes(number, sys.byteorder)


def make_full_condition(pipe: IO[bytes] | None) -> Callable[[], bool]:
    """Return a condition: *pipe* is full, and its writer waits."""
    assert pipe is not None
    counts = deque[int](maxlen=100)

    def is_full() -> bool:
        counts.append(count_unread_bytes(pipe))

        # A pipe of Linux holds 65,536 bytes, or fewer if the lines do not fill its pages.
        # A number that has not changed for a while shows that the writer waits.
        return counts[-1] > 50_000 and counts.count(counts[-1]) == counts.maxlen

    return is_full


def wait_until_full(pipe: IO[bytes] | None) -> None:
    """Wait until *pipe* is full, and its writer waits."""
    wait_until(make_full_condition(pipe), "a full pipe")
