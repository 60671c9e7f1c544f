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
from typing import Final, TextIO

# what writing to a pipe says whose reader has gone
if sys.platform == "win32":  # pragma: no cover - measured on Linux
    # ERROR_BROKEN_PIPE is EPIPE, and the C runtime knows no number for ERROR_NO_DATA
    _READER_GONE: Final = (errno.EPIPE, errno.EINVAL)
else:
    _READER_GONE: Final = (errno.EPIPE,)


class ReaderGoneError(Exception):
    """Nobody reads standard output any more."""


class OutputError(Exception):
    """Standard output cannot be written to: the text says why."""


def open_missing() -> None:
    """Open the null device in place of each standard stream that is missing."""
    if sys.platform != "win32":  # pragma: no branch - measured on Linux
        # The next file that is opened gets the lowest free number. A socket of ours, or
        # a file that CMD opens, would become the standard output.
        while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(number, True)  # for CMD
        os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # print would take the other one
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - to the exit


def say(text: str) -> None:
    """Print a line; what the encoding lacks is escaped.

    :raises ReaderGoneError: if that is so
    :raises OutputError: if it fails otherwise
    """
    encoding = sys.stdout.encoding or "utf-8"  # None: a StringIO takes any text
    line = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        _print(line, sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        if error.errno in _READER_GONE:
            raise ReaderGoneError from None
        raise OutputError(f"cannot write: {error.strerror or error}") from None


def report(text: str) -> None:
    """Complain on stderr, in one line; to nobody if there is none."""
    with suppress(OSError):
        _print(f"aioteredo: {' '.join(text.split())}", sys.stderr)


def _print(line: str, stream: TextIO) -> None:
    try:
        print(line, file=stream, flush=True)
    except KeyboardInterrupt:  # it may have been waiting for the reader
        _discard(stream)
        raise


def _discard(stream: TextIO) -> None:
    """Drop what is still buffered: the exit's own flush would fail again, or wait."""
    with suppress(OSError):  # it is no file
        number = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
