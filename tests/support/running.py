"""The command in a process of its own, with a Teredo client that the test controls.

The client is a backend of another package, ``scripted``, which the command finds by its
entry point on PYTHONPATH. It is a SimulatedBackend in the process of the command, and gets
its orders from the test over a socket.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

from aioteredo import TeredoAddress

from .command import command, environment, write_package
from .runs import CMD
from .waiting import kill_at_the_limit, limit

SCRIPTED_CLIENT: Final = '''
"""A simulated Teredo client that reads orders from a socket, one on each line."""

import os
import signal
import socket
import sys
import threading

from aioteredo import BackendError, SimulatedBackend, TeredoAddress


class ScriptedClient(SimulatedBackend):
    def __init__(self):
        super().__init__()
        port = int(os.environ["SCRIPTED_CLIENT"])
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._subscribed = threading.Event()
        if "SCRIPTED_UNSTABLE" in os.environ:
            self.set_addresses(stable=False)
        threading.Thread(target=self._obey, daemon=True).start()

    def subscribe(self, sink, *, initial):
        subscription = super().subscribe(sink, initial=initial)
        self._subscribed.set()
        return subscription

    def subscribe_addresses(self, sink, *, initial):
        self._address_sink = sink
        subscription = super().subscribe_addresses(sink, initial=initial)
        self._subscribed.set()
        return subscription

    def subscribe_stable_addresses(self, sink):
        subscription = super().subscribe_stable_addresses(sink)
        self._subscribed.set()
        return subscription

    def _obey(self):
        with self._socket, self._socket.makefile("rw", encoding="ascii") as lines:
            for line in lines:
                name, *arguments = line.split()
                getattr(self, "order_" + name)(*map(int, arguments))
                print("done", file=lines, flush=True)

    def order_wait(self):
        self._subscribed.wait()

    def order_change(self, first, last):
        # The port 0 stands for no port.
        self.burst(port or None for port in range(first, last + 1))

    def order_addresses(self, *addresses):
        self.set_addresses(*map(TeredoAddress, addresses))

    def order_fail(self, code):
        self.fail(BackendError("GetTeredoPort", code))

    def order_fail_addresses(self, code):
        self._address_sink.fail(BackendError("GetUnicastIpAddressTable", code))

    def order_signal(self, number):
        if sys.platform == "win32":
            signal.raise_signal(number)
        else:
            # Under POSIX, raise_signal() would signal only this thread.
            os.kill(os.getpid(), number)


# Two watches that open at the same time can both ask for the backend. The import makes only
# one client, so there is only one connection to the test.
client = ScriptedClient()


def the_client():
    return client
'''


class RunningCommand:
    """A command that runs, with a scripted Teredo client in its process."""

    # The type is not Popen[bytes], because mypy can't choose an overload by **options.
    process: subprocess.Popen[Any]

    times = 1
    """How many limits may pass before the command is killed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()

    def start(self, *arguments: str, **options: Any) -> Self:
        """Start the command, and return when it watches the client.

        :param options: options of ``Popen``, and ``prefix`` for a program that runs the
            command; ``env`` is added to the environment
        """
        name, *rest = arguments
        prefix = options.pop("prefix", ())
        program = [*prefix, *command(name, "--backend", "scripted", *rest)]
        return self.start_program(*program, **options)

    def start_program(self, *program: str, **options: Any) -> Self:
        """Start a program that watches the client, and return when it does.

        :param options: options of ``Popen``; ``env`` is added to the environment
        """
        listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(limit())
        port = str(listener.getsockname()[1])

        variables = options.pop("env", {})
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(
            program,
            env=environment(self._directory, SCRIPTED_CLIENT=port, CMD=CMD) | variables,
            **({"stdin": subprocess.DEVNULL} | pipes | options),
        )
        self._stack.callback(self._kill)
        self._stack.callback(kill_at_the_limit(self.process, self.times).cancel)

        connection = self._stack.enter_context(listener.accept()[0])
        connection.settimeout(limit())
        self._lines = self._stack.enter_context(connection.makefile("rw"))
        self._order("wait")
        return self

    def _kill(self) -> None:
        self.process.kill()
        self.process.wait(limit())
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _order(self, *words: object, wait: bool = True) -> None:
        print(*words, file=self._lines, flush=True)
        if wait:
            assert self._lines.readline() == "done\n"

    def change(
        self, first: int | None, last: int | None = None, *, wait: bool = True
    ) -> None:
        """Change the port to *first*, and then to each number up to *last*.

        :param wait: whether to wait for the last change; False for a command that may end
            before its client can confirm the change
        """
        self._order("change", first or 0, last or first or 0, wait=wait)

    def set_addresses(self, *addresses: str) -> None:
        """Set the Teredo addresses of the client."""
        self._order("addresses", *map(int, map(TeredoAddress, addresses)))

    def fail(self, code: int, *, wait: bool = True) -> None:
        """Have the client fail with an error code of Windows.

        :param wait: as for ``change()``
        """
        self._order("fail", code, wait=wait)

    def fail_addresses(self, code: int) -> None:
        """Have only the watch for addresses fail, with an error code of Windows."""
        self._order("fail_addresses", code)

    def raise_signal(self, number: int) -> None:
        """Have the command signal itself, on a thread that is not the main thread.

        Windows handles the Ctrl-C of a console on such a thread, too.
        """
        self._order("signal", int(number), wait=False)

    def read_line(self) -> str:
        """Return the next line of the standard output."""
        assert self.process.stdout is not None
        line: bytes = self.process.stdout.readline()
        return line.decode("utf-8").rstrip("\r\n")

    def read_error_line(self) -> str:
        """Return the next line of the standard error output, with its line break."""
        assert self.process.stderr is not None
        line: bytes = self.process.stderr.readline()
        return line.decode("utf-8").replace("\r\n", "\n")

    def wait(self) -> tuple[int, str]:
        """Wait for the end of the command.

        :return: the exit status and the standard error output
        """
        # Wait for the process first: its children may hold the pipe open, and a read that
        # waits for them would hide that the command itself has not ended.
        status = self.process.wait(limit())
        assert self.process.stderr is not None
        error = self.process.stderr.read().decode("utf-8").replace("\r\n", "\n")
        return status, error

    def close(self) -> None:
        """Kill the command if it still runs, and close its pipes."""
        self._stack.close()


@contextmanager
def scripted_command(directory: Path) -> Iterator[RunningCommand]:
    """Yield a command with the scripted client, which the test has to start."""
    write_package(
        directory,
        "scripted_client",
        SCRIPTED_CLIENT,
        "scripted = scripted_client:the_client",
    )
    running = RunningCommand(directory)
    try:
        yield running
    finally:
        running.close()
