"""The kinds of output whose reader can stall or close: pipes, connections, terminals."""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .waiting import join, limit, start_thread, wait_until


class Output:
    """A pair of descriptors: bytes that are written to one can be read from the other."""

    def __init__(self, kind: str, reading: int, writing: int) -> None:
        self.kind = kind
        self.reading = reading
        self.writing = writing
        self._open = {reading, writing}

    def close(self, *numbers: int) -> None:
        """Close *numbers*, or both descriptors, unless they are closed already."""
        for number in numbers or (self.reading, self.writing):
            if number in self._open:
                self._open.remove(number)
                os.close(number)

    def read(self) -> bytes:
        """Wait until bytes can be read, and return them."""
        assert select.select([self.reading], [], [], limit())[0], "nothing to be read"
        return os.read(self.reading, 1000)

    def reader(self) -> socket.socket:
        """Return a socket for the reading side, which the test has to close."""
        return socket.socket(fileno=os.dup(self.reading))

    def set_blocking(self, blocking: bool) -> None:
        """Set or clear O_NONBLOCK, for each process that shares the writing descriptor."""
        if sys.platform == "win32":
            raise NotImplementedError
        os.set_blocking(self.writing, blocking)

    def is_blocking(self) -> bool:
        """Return whether O_NONBLOCK is not set."""
        if sys.platform == "win32":
            raise NotImplementedError
        return os.get_blocking(self.writing)

    def fill(self) -> None:
        """Write empty lines until not another byte can be written."""
        was_blocking = self.is_blocking()
        self.set_blocking(False)
        written = deque[int](maxlen=50)

        def is_full() -> bool:
            # A connection moves its bytes to the reading side a little later, and then has
            # room again. It is full if nothing could be written for a while.
            written.append(0)

            with suppress(BlockingIOError):
                while True:
                    written[-1] += os.write(self.writing, b"\n" * 500)
            with suppress(BlockingIOError):
                while True:
                    written[-1] += os.write(self.writing, b"\n")
            return len(written) == written.maxlen and not any(written)

        wait_until(is_full, "an output that is full")
        self.set_blocking(was_blocking)

    @contextmanager
    def being_read(self) -> Iterator[Callable[[], list[str]]]:
        """Read all bytes on a thread.

        :return: a function that closes the writing side and returns the lines
        """
        chunks: list[bytes] = []

        def read() -> None:
            with suppress(OSError):  # At the end of a terminal, Linux raises EIO.
                while chunk := os.read(self.reading, 100):
                    chunks.append(chunk)

        thread = start_thread(read)

        def lines() -> list[str]:
            self.close(self.writing)
            join(thread)
            return [line for line in b"".join(chunks).decode().split("\n") if line]

        yield lines


KINDS = ["pipe", "fifo", "socket", "tcp", "terminal"]


@contextmanager
def output(kind: str, directory: Path) -> Iterator[Output]:
    """Open an output of one of the KINDS."""
    with ExitStack() as stack:
        opened = Output(kind, *_open(kind, directory))
        stack.callback(opened.close)
        yield opened


def _open(kind: str, directory: Path) -> tuple[int, int]:
    if sys.platform == "win32":
        raise NotImplementedError
    if kind == "fifo":
        os.mkfifo(directory / "fifo")
        # A shell's <> opens a fifo for both, too. Its reader can stall, but not close it.
        number = os.open(directory / "fifo", os.O_RDWR)
        return os.dup(number), number
    if kind == "socket":
        reading, writing = socket.socketpair()
        return reading.detach(), writing.detach()
    if kind == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as server:
            writing = socket.create_connection(server.getsockname())
            reading = server.accept()[0]
        return reading.detach(), writing.detach()
    if kind == "terminal":
        import pty
        import tty

        reader, terminal = pty.openpty()
        tty.setraw(terminal)  # Otherwise each line break would become two characters.
        return reader, terminal
    return os.pipe()


def reset(connection: socket.socket) -> None:
    """Make the close of *connection* a reset, which is an error on the other side."""
    linger = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
