"""A CMD for ``exec`` whose runs report to the test, and end when the test says so.

CMD connects to the test, sends its process id, its last argument and its variables, and
waits for its exit status. Its options: ``stubborn`` ignores SIGTERM, ``another-user``
changes the user, and ``parent`` starts a child, which gets the other options.
"""

from __future__ import annotations

import ast
import os
import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Timer
from typing import Final, Self

from .waiting import limit

CMD: Final = """
import os, signal, socket, subprocess, sys
port, *options = sys.argv[1:]
if "stubborn" in options and "parent" not in options:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with socket.create_connection(("127.0.0.1", int(port))) as connection:
    if "another-user" in options:
        os.setuid(65534)
    if "parent" in options:
        options.remove("parent")
        subprocess.Popen([sys.executable, "-ISc", os.environ["CMD"], port, *options])
    report = [options[-1], *map(os.environ.get, ("TEREDO_PORT", "TEREDO_PREVIOUS_PORT"))]
    connection.sendall(repr((os.getpid(), report)).encode() + b"\\n")
    sys.exit(int(connection.recv(10)))
"""


class Run:
    """A process that runs CMD, or a child of CMD, until the test gives its exit status."""

    pid: int

    argument: str
    """The last argument, in which ``exec`` has filled in the port."""

    port: str
    """TEREDO_PORT in the environment."""

    previous: str
    """TEREDO_PREVIOUS_PORT in the environment."""

    def __init__(self, connection: socket.socket, line: str) -> None:
        self._connection = connection
        self.pid, (self.argument, self.port, self.previous) = ast.literal_eval(line)

    def finish(self, status: int = 0) -> None:
        """Have the process exit with *status*."""
        self._connection.sendall(str(status).encode())

    def wait_until_ended(self, seconds: float | None = None) -> None:
        """Wait until the process has ended, although the test has not called ``finish()``.

        :param seconds: a shorter limit; 0 if the process must have ended already
        """
        if seconds is not None:
            self._connection.settimeout(seconds)
        with suppress(
            ConnectionError
        ):  # Windows resets the connection of a killed process.
            assert self._connection.recv(1) == b""

    def is_running(self) -> bool:
        """Return whether the process still runs; a zombie does not."""
        if sys.platform == "win32":
            import ctypes

            synchronize = 0x100000
            wait_timeout = 258
            kernel32 = ctypes.WinDLL("kernel32")
            process = ctypes.c_void_p(kernel32.OpenProcess(synchronize, False, self.pid))
            try:
                return bool(kernel32.WaitForSingleObject(process, 0) == wait_timeout)
            finally:
                kernel32.CloseHandle(process)

        try:
            if sys.platform != "linux":
                os.kill(self.pid, 0)
                return True

            # kill() also succeeds for a zombie, which the first process of a container may
            # reap late. /proc shows whether the process is a zombie.
            status = Path(f"/proc/{self.pid}/stat").read_text("utf-8")
            return status.rpartition(") ")[2][0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False


class Runs:
    """A CMD for ``exec``, and its runs in the order in which they begin.

    Each run ends at the limit. ``exec`` waits for CMD even when ``exec`` is cancelled, so
    without a limit a test that fails while CMD runs would never end.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._connections: list[socket.socket] = []
        timer = Timer(limit(), self._disconnect)
        timer.daemon = True
        timer.start()
        self._stack.callback(timer.cancel)

        self._listener = self._stack.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=100)
        )
        self._listener.settimeout(limit())
        self.port = str(self._listener.getsockname()[1])
        self.cmd = [sys.executable, "-ISc", CMD, self.port]

    def next(self) -> Run:
        """Wait for the next run; skip those that ``exec`` has ended before they report."""
        while True:
            connection = self._stack.enter_context(self._listener.accept()[0])
            self._connections.append(connection)
            connection.settimeout(limit())
            with suppress(ConnectionError), connection.makefile() as lines:
                if line := lines.readline():
                    return Run(connection, line)

    def _disconnect(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):  # The run has ended already.
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
