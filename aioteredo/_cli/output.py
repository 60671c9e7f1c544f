"""Standard output and standard error, as the commands write to them."""

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

STDERR_TIMEOUT: Final = 1.0
"""The seconds for which a command waits until a line on stderr is written."""


class ReaderGoneError(Exception):
    """An error of standard output that nobody reads any more."""


class OutputError(Exception):
    """An error of standard output that cannot be written, with the reason."""


def open_missing_streams() -> None:
    """Open the null device in place of each standard stream that is missing."""
    if sys.platform != "win32":  # pragma: no branch - measured on Linux
        # The system gives the lowest free number to the next file that is opened.
        # Otherwise, a socket of the event loop or a file of CMD would become the standard
        # output.
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)  # CMD needs the three streams as well.
        os.close(descriptor)

    for name in ("stdout", "stderr"):
        # Python sets a stream to None if the process was started without it.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open until the exit


class LineWriter:
    """A writer of whole lines to a text stream, in the encoding of the stream.

    A line goes past the buffers of Python. Python flushes its buffers at the exit, which
    would fail a second time, or wait for a reader that has stalled.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._raw = _unbuffered(stream)

        # One encoder for all lines: some encodings begin with a byte order mark, which
        # only the first line may have. A StringIO takes any text and has no encoding.
        encoder = codecs.getincrementalencoder(stream.encoding or "utf-8")
        self._encoder = encoder("backslashreplace")

    def fileno(self) -> int | None:
        """Return the descriptor, or None if the stream is not a file."""
        return None if self._raw is None else self._raw.fileno()

    def write(self, line: str) -> None:
        """Write a line, and wait for the reader if it has stalled. Any thread may call.

        A character that the encoding lacks is escaped.

        :raises ReaderGoneError: if nobody reads the stream any more
        :raises OutputError: if the stream cannot be written for another reason
        """
        try:
            if self._raw is None:
                encoding = self._stream.encoding or "utf-8"
                data = line.encode(encoding, "backslashreplace")
                self._stream.write(data.decode(encoding) + "\n")
                self._stream.flush()
            else:
                _write_all(self._raw, self._encoder.encode(line + os.linesep))
        except OSError as error:
            if _means_reader_gone(error, self._raw):
                raise ReaderGoneError from None
            raise OutputError(f"cannot write: {error.strerror or error}") from None


def write_stdout(text: str) -> None:
    """Write a line to standard output.

    :raises ReaderGoneError: if nobody reads standard output any more
    :raises OutputError: if standard output cannot be written for another reason
    """
    LineWriter(sys.stdout).write(text)


def report_error(text: str) -> None:
    """Write *text* to standard error, in one line that begins with the program's name."""
    write_stderr(f"aioteredo: {' '.join(text.split())}")


_stderr_thread: Thread | None = None


def write_stderr(line: str) -> None:
    """Write a line to standard error, but wait only a moment for a reader that has stalled.

    A thread writes the line. If the reader reads on later, the line is still written;
    further lines are dropped until then.
    """
    global _stderr_thread

    def write() -> None:
        with suppress(ReaderGoneError, OutputError):
            LineWriter(sys.stderr).write(line)

    if _stderr_thread is not None and _stderr_thread.is_alive():
        return
    _stderr_thread = run_on_thread(write)
    if _stderr_thread is not None:
        # A command that waited without a limit would never exit, so a service manager
        # would never see the exit status.
        _stderr_thread.join(STDERR_TIMEOUT)


def run_on_thread(write: Callable[[], None]) -> Thread | None:
    """Call *write* on a daemon thread, which can be left behind in a write.

    :return: the thread, or None if the system refuses a thread. Then this function has
        called *write* itself
    """
    # Writing only as much as there is room for is not possible: O_NONBLOCK would also
    # change the descriptor for the shell and all others that share it, another writer may
    # take the room in a pipe, and a terminal does not report its room.
    from .._new_thread import start_thread

    try:
        return start_thread(write, daemon=True)
    except TeredoError:
        write()
        return None


def _unbuffered(stream: TextIO) -> IO[bytes] | None:
    """Return the unbuffered file below *stream*, or None if there is no file."""
    try:
        stream.fileno()
        buffer = stream.buffer
    except (AttributeError, OSError):
        return None
    # With PYTHONUNBUFFERED, the text stream has no buffer: its "buffer" is the raw file.
    raw: IO[bytes] = getattr(buffer, "raw", buffer)
    return raw


def _write_all(raw: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        count: int | None = raw.write(rest)
        if count is None:
            # Another process that shares the descriptor has set O_NONBLOCK, as Node does,
            # and there is no room. Retrying without a wait would occupy the processor.
            _wait_until_writable(raw.fileno())
        else:
            rest = rest[count:]


def _wait_until_writable(descriptor: int) -> None:
    if sys.platform != "win32":  # pragma: no branch - Windows has no such descriptors
        import select

        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        poll.poll()


def _means_reader_gone(error: OSError, raw: IO[bytes] | None) -> bool:
    """Return whether *error* of a write means that nobody reads the output any more."""
    if isinstance(error, ConnectionError):  # EPIPE and ECONNRESET, among others.
        return True
    if raw is None:
        return False
    if sys.platform == "win32":  # pragma: no cover - measured on Linux
        # A closed pipe fails with ERROR_NO_DATA, which the C runtime reports as EINVAL.
        return error.errno == errno.EINVAL

    # A terminal that has hung up fails with EIO, and a connection to a host that has
    # vanished fails with ETIMEDOUT. From a disk, each of the two is a real failure.
    mode = os.fstat(raw.fileno()).st_mode
    has_reader = stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)
    return has_reader and error.errno in (errno.EIO, errno.ETIMEDOUT)
