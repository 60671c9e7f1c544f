"""The installed command in a process of its own, and a Teredo client that is scripted.

The client is a backend of another package, ``scripted``: found by its entry point on
PYTHONPATH, told what to do by the test over a socket. What it does is done by a
SimulatedBackend in the process of the command. It can also signal that process, on a
thread that is not the main one, as a console's Ctrl-C comes on Windows.
"""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import IO, Any, Self

from .waiting import kill_at_the_limit, limit, wait_until

CLIENT = '''
"""A simulated Teredo client that a socket tells what to do, a line each."""

import os
import signal
import socket
import sys
import threading

from aioteredo import BackendError, SimulatedBackend


class ScriptedClient(SimulatedBackend):
    def __init__(self):
        super().__init__()
        port = int(os.environ["SCRIPTED_CLIENT"])
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._subscribed = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def subscribe(self, sink, *, initial):
        subscription = super().subscribe(sink, initial=initial)
        self._subscribed.set()
        return subscription

    def _listen(self):
        with self._socket, self._socket.makefile("rw", encoding="ascii") as lines:
            for line in lines:
                command, *arguments = line.split()
                getattr(self, "do_" + command)(*map(int, arguments))
                print("done", file=lines, flush=True)

    def do_wait(self):
        self._subscribed.wait()

    def do_change(self, first, last):  # 0: no port
        self.burst(port or None for port in range(first, last + 1))

    def do_fail(self, code):
        self.fail(BackendError("GetTeredoPort", code))

    def do_signal(self, number):
        if sys.platform == "win32":
            signal.raise_signal(number)
        else:  # raised, it would be this thread's and not the process's
            os.kill(os.getpid(), number)
'''


# what the command goes by
VARIABLES = ("NO_COLOR", "FORCE_COLOR", "AIOTEREDO_BACKEND", "TERM")


def write_package(directory: Path, name: str, source: str, entry_points: str) -> None:
    """Install a package of one module in *directory*, which goes to PYTHONPATH."""
    (directory / f"{name}.py").write_text(source, "utf-8")
    info = directory / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[aioteredo.backends]\n{entry_points}\n")


def environment(directory: Path | None = None, /, **variables: str) -> dict[str, str]:
    """This process's, without what would change colours, backends or the interpreter."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in VARIABLES and not name.startswith("PYTHON")
    }
    if path := os.environ.get("PYTHONPATH"):
        kept["PYTHONPATH"] = path
    if directory is not None:
        paths = (str(directory), kept.get("PYTHONPATH", ""))
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return kept | {"TERM": "xterm"} | variables


def command(*arguments: str) -> list[str]:
    """The script that pip installs, or, where there is none, what it calls."""
    suffix = ".exe" if sys.platform == "win32" else ""
    script = Path(sys.executable).with_name(f"aioteredo{suffix}")
    if script.exists():
        return [str(script), *arguments]
    return [sys.executable, "-m", "aioteredo", *arguments]


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    options = {"env": environment(), "encoding": "utf-8"} | options
    return subprocess.run(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=limit(),
        check=False,
        **options,
    )


def death(number: int) -> int:
    """What ``Popen`` says of a command that a signal has ended."""
    return 128 + number if sys.platform == "win32" else -number


def unread(pipe: IO[bytes]) -> int:
    """How many bytes are in a pipe."""
    if sys.platform == "win32":
        raise NotImplementedError
    import fcntl
    import termios

    number = fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))
    return int.from_bytes(number, sys.byteorder)


def is_full(pipe: IO[bytes] | None) -> Callable[[], bool]:
    """Make a condition: a pipe of Linux has no room for what is being written."""
    assert pipe is not None
    looks = deque[int](maxlen=100)

    def look() -> bool:
        looks.append(unread(pipe))
        return looks[-1] > 50_000 and looks.count(looks[-1]) == looks.maxlen

    return look


def wait_until_full(pipe: IO[bytes] | None) -> None:
    """Wait until it is, and the writer waits."""
    wait_until(is_full(pipe), "a full pipe")


class Running:
    """A command that runs, and its Teredo client, which runs there as well."""

    process: subprocess.Popen[Any]  # of bytes; the overloads can't tell from **options
    times = 1  # how often the limit may pass before the command is killed

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()

    def start(self, *arguments: str, **options: Any) -> Self:
        """Start it; return when it is watching."""
        listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(limit())
        number = str(listener.getsockname()[1])
        name, *rest = arguments
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options = {"stdin": subprocess.DEVNULL} | pipes | options
        self.process = subprocess.Popen(
            [*options.pop("prefix", ()), *command(name, "--backend", "scripted", *rest)],
            env=environment(self._directory, SCRIPTED_CLIENT=number, CMD=CMD)
            | options.pop("env", {}),
            **options,
        )
        self._stack.callback(self._end)
        self._stack.callback(kill_at_the_limit(self.process, self.times).cancel)
        self._socket = self._stack.enter_context(listener.accept()[0])
        self._socket.settimeout(limit())
        self._lines = self._stack.enter_context(self._socket.makefile("rw"))
        self.tell("wait")
        return self

    def _end(self) -> None:
        self.process.kill()
        self.process.wait(limit())
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def post(self, *words: object) -> None:
        """Tell the client, and don't wait for it."""
        print(*words, file=self._lines, flush=True)

    def tell(self, *words: object) -> None:
        """Tell the client; return when it has done so."""
        self.post(*words)
        assert self._lines.readline() == "done\n"

    def change(self, first: int | None, last: int | None = None) -> None:
        """Change the port, also to each one up to *last*."""
        self.tell("change", first or 0, last or first or 0)

    def line(self) -> str:
        """The next line of its standard output."""
        assert self.process.stdout is not None
        line: bytes = self.process.stdout.readline()
        return line.decode("utf-8").rstrip("\r\n")

    def wait(self) -> tuple[int, str]:
        """Its exit status, and what it wrote to standard error.

        Its children may hold that open, so it has ended before they are waited for.
        """
        assert self.process.stderr is not None
        status = self.process.wait(limit())
        error = self.process.stderr.read().decode("utf-8").replace("\r\n", "\n")
        return status, error

    def close(self) -> None:
        self._stack.close()


CMD = """
import os, signal, socket, subprocess, sys
number, *how = sys.argv[1:]
if "stubborn" in how and "parent" not in how:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with socket.create_connection(("127.0.0.1", int(number))) as connection:
    if "another-user" in how:
        os.setuid(65534)
    if "parent" in how:
        how.remove("parent")
        subprocess.Popen([sys.executable, "-ISc", os.environ["CMD"], number, *how])
    said = [how[-1], *map(os.environ.get, ("TEREDO_PORT", "TEREDO_PREVIOUS_PORT"))]
    connection.sendall(repr((os.getpid(), said)).encode() + b"\\n")
    sys.exit(int(connection.recv(10)))
"""


class Run:
    """A run of CMD, which goes on until it is told its exit status."""

    pid: int
    argument: str
    port: str
    previous: str

    def __init__(self, connection: socket.socket, line: str) -> None:
        self._connection = connection
        self.pid, (self.argument, self.port, self.previous) = ast.literal_eval(line)

    def finish(self, status: int = 0) -> None:
        """Have it exit."""
        self._connection.sendall(str(status).encode())

    def wait_until_gone(self, seconds: float | None = None) -> None:
        """Wait until it has ended, by another's doing.

        :param seconds: a limit of its own; 0 if it must have ended already
        """
        if seconds is not None:
            self._connection.settimeout(seconds)
        with suppress(ConnectionError):  # that is how Windows says it
            assert self._connection.recv(1) == b""

    def is_there(self) -> bool:
        """Whether it runs still."""
        if sys.platform == "win32":
            import ctypes

            synchronize, wait_timeout = 0x100000, 258
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
            # what the first process of a container adopts, it may reap late
            status = Path(f"/proc/{self.pid}/stat").read_text("utf-8")
            return status.rpartition(") ")[2][0] not in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return False


class Runs:
    """A CMD for ``exec``, and its runs in the order in which they begin.

    At the limit each run is let go. ``exec`` waits for CMD even when it is cancelled, so
    without a limit a test that fails while CMD runs would never end.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._connections: list[socket.socket] = []
        timer = Timer(limit(), self._let_go)
        timer.daemon = True
        timer.start()
        self._stack.callback(timer.cancel)
        self._listener = self._stack.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=100)
        )
        self._listener.settimeout(limit())
        number = str(self._listener.getsockname()[1])
        self.cmd = [sys.executable, "-ISc", CMD, number]

    def next(self) -> Run:
        """Wait for the next run that has not been ended already."""
        while True:
            connection = self._stack.enter_context(self._listener.accept()[0])
            self._connections.append(connection)
            connection.settimeout(limit())
            with suppress(ConnectionError), connection.makefile() as lines:
                if line := lines.readline():
                    return Run(connection, line)

    def _let_go(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):  # The run has ended already.
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@contextmanager
def scripted(directory: Path) -> Iterator[Running]:
    """A command under the scripted client, to be started."""
    write_package(
        directory,
        "scripted_client",
        CLIENT,
        "scripted = scripted_client:ScriptedClient",
    )
    running = Running(directory)
    try:
        yield running
    finally:
        running.close()
