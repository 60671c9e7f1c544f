"""Standard output and error, as a command uses them.

A line is written whole and at once, past the buffers of Python: text that is left in a
buffer would be flushed at the exit, which would fail again, or wait for a reader that has
stopped reading. ``reader.py`` says when a reader has gone.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final, TextIO

from .._errors import TeredoError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Thread

REPORT_SECONDS: Final = 1.0


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


class Output:
    """Lines to a text stream, in its encoding."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._raw = _raw(stream)

        # The encoder outlives the line, because some encodings begin with a mark that
        # only the first line may have. A StringIO takes any text and has no encoding.
        encoder = codecs.getincrementalencoder(stream.encoding or "utf-8")
        self._encoder = encoder("backslashreplace")

    def fileno(self) -> int | None:
        """Return the descriptor, or None if the stream is not a file."""
        return None if self._raw is None else self._raw.fileno()

    def write(self, line: str) -> None:
        """Write a line, and wait for the reader if need be. From any thread.

        A character that the encoding lacks is escaped.

        :raises ReaderGoneError: if nobody reads the stream any more
        :raises OutputError: if it cannot be written to for another reason
        """
        try:
            if self._raw is None:
                encoding = self._stream.encoding or "utf-8"
                data = line.encode(encoding, "backslashreplace")
                self._stream.write(data.decode(encoding) + "\n")
                self._stream.flush()
            else:
                _write(self._raw, self._encoder.encode(line + os.linesep))
        except OSError as error:
            if _reader_has_gone(error, self._raw):
                raise ReaderGoneError from None
            raise OutputError(f"cannot write: {error.strerror or error}") from None


def say(text: str) -> None:
    """Print a line on standard output.

    :raises ReaderGoneError: if nobody reads it any more
    :raises OutputError: if it cannot be written to for another reason
    """
    Output(sys.stdout).write(text)


def report(text: str) -> None:
    """Complain on stderr, in one line; to nobody if there is none."""
    tell(f"aioteredo: {' '.join(text.split())}")


_telling: Thread | None = None


def tell(line: str) -> None:
    """Print a line on stderr, but wait only a moment for a reader that has stalled.

    The exit status says the same to a service manager, and a command that waited here
    would never tell the status. A line that nobody has read by then is still written if
    this process lives on; further lines are dropped until it is.
    """
    global _telling

    def write() -> None:
        with suppress(ReaderGoneError, OutputError):
            Output(sys.stderr).write(line)

    if _telling is not None and _telling.is_alive():
        return
    _telling = on_a_thread(write)
    if _telling is not None:
        _telling.join(REPORT_SECONDS)


def on_a_thread(write: Callable[[], None]) -> Thread | None:
    """Call *write* on a thread that nobody has to wait for, even at the exit.

    Only a thread can be left behind in a write. The alternative, to write no more than
    there is room for, is not to be had: O_NONBLOCK would change the descriptor for the
    shell and for all others that share it, a pipe's room may go to another writer, and a
    terminal does not tell how much room it has.

    :return: None if the system refuses another thread. *write* has been called here
    """
    from .._new_thread import start_thread

    try:
        return start_thread(write, daemon=True)
    except TeredoError:
        write()
        return None


def _raw(stream: TextIO) -> IO[bytes] | None:
    """Return the unbuffered file below *stream*, or None if there is no file."""
    try:
        stream.fileno()
        buffer = stream.buffer
    except (AttributeError, OSError):
        return None
    # With PYTHONUNBUFFERED, the text layer stands on the unbuffered file itself.
    raw: IO[bytes] = getattr(buffer, "raw", buffer)
    return raw


def _write(raw: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        count: int | None = raw.write(rest)
        if count is None:
            # Whoever shares the descriptor has set O_NONBLOCK, as Node does.
            _wait_until_writable(raw.fileno())
        else:
            rest = rest[count:]


def _wait_until_writable(number: int) -> None:
    if sys.platform != "win32":  # pragma: no branch - Windows has no such descriptors
        import select

        poll = select.poll()
        poll.register(number, select.POLLOUT)
        poll.poll()


def _reader_has_gone(error: OSError, raw: IO[bytes] | None) -> bool:
    if isinstance(error, ConnectionError):  # EPIPE and ECONNRESET among others
        return True
    if raw is None:
        return False
    if sys.platform == "win32":  # pragma: no cover - measured on Linux
        # The C runtime knows no number for ERROR_NO_DATA, which a pipe returns.
        return error.errno == errno.EINVAL

    # A terminal that has hung up returns EIO, and a connection to a host that has vanished
    # ETIMEDOUT. From a disk, each of them is a failure.
    mode = os.fstat(raw.fileno()).st_mode
    device = stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
    return device and error.errno in (errno.EIO, errno.ETIMEDOUT)
