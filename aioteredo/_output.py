"""Standard output and error, as a command uses them.

Each line is flushed: who reads them through a pipe follows a port that changes a few
times a day. A reader that has seen enough is no error, and a pipe that is not read is
nothing to wait for at the exit.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Final

# what writing to a pipe says whose reader has gone; Windows has no EPIPE
_READER_GONE: Final = (errno.EPIPE, errno.EINVAL)[: 2 if sys.platform == "win32" else 1]


def open_missing() -> None:
    """Open the null device in place of what this process was started without."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # print would take the other one
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - to the exit


def say(text: str) -> None:
    """Print a line; what the encoding lacks is escaped.

    :raises OSError: if that fails, see :func:`reader_has_gone`
    """
    encoding = sys.stdout.encoding
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def report(text: str) -> None:
    """Complain on stderr, in one line; to nobody if there is none."""
    with suppress(OSError):
        print("aioteredo:", " ".join(text.split()), file=sys.stderr, flush=True)


def reader_has_gone(error: OSError) -> bool:
    """Whether *error* says that nobody reads any more."""
    return error.errno in _READER_GONE


def discard() -> None:
    """Drop what is still buffered: the exit's own flush would fail again, or wait."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
