"""The lines on stderr that only a person at a terminal gets."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioteredo import BackendError, BackendUnavailableError, SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.command import command, environment, killed_by, write_package
from ..support.outputs import Output, output
from ..support.running import RunningCommand
from ..support.waiting import limit
from .marks import posix


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Output]:
    """Yield a terminal for standard error."""
    with output("terminal", tmp_path) as opened:
        yield opened


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run_on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Run the command in this process; return its status and the text on stderr."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stderr := Terminal())
        return main(arguments), stderr.getvalue()


@posix
@pytest.mark.parametrize("arguments", [["watch"], ["exec", "--", "true"]], ids=str)
def test_person_reads_which_client_is_followed(
    arguments: list[str], terminal: Output, running: RunningCommand
) -> None:
    """The line names the client, its port, and the way to end the command."""
    running.start(*arguments, stderr=terminal.writing)
    assert terminal.read().decode() == (
        "Following the Teredo client of scripted: no port. Press Ctrl-C to end.\n"
    )
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(limit()) == killed_by(signal.SIGINT)


def test_person_reads_the_port_without_an_event() -> None:
    """The line has the current port although ``--initial`` is not given."""
    with use_backend(SimulatedBackend(51234)):
        assert run_on_a_terminal("watch", "--timeout=0.1") == (
            0,
            "Following the Teredo client: port 51234. Press Ctrl-C to end.\n",
        )


def test_person_reads_the_backend_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The line names a backend that the person may have forgotten."""
    monkeypatch.setenv("AIOTEREDO_BACKEND", "simulated")
    status, error = run_on_a_terminal("watch", "--timeout=0.1")
    assert status == 0
    assert error.startswith("Following the Teredo client of simulated: port ")


@pytest.mark.parametrize(
    "error", [BackendError("GetTeredoPort", 31), BackendUnavailableError("no IPv6")]
)
def test_watch_goes_on_if_the_port_cannot_be_read(error: Exception) -> None:
    """A command that works in a pipe does not fail on a terminal."""

    class Unreadable(SimulatedBackend):
        def get_port(self) -> int | None:
            raise error

    with use_backend(Unreadable()):
        assert run_on_a_terminal("watch", "--timeout=0.1") == (
            0,
            "Following the Teredo client: the port cannot be read. Press Ctrl-C to end.\n",
        )


@posix
def test_person_reads_that_there_is_no_port(terminal: Output, tmp_path: Path) -> None:
    """``port`` explains to a person why it prints nothing; a script reads the status."""
    source = "from aioteredo import SimulatedBackend"
    write_package(tmp_path, "quiet", source, "quiet = quiet:SimulatedBackend")
    with terminal.being_read() as lines:
        result = subprocess.run(
            command("port", "--backend", "quiet"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=terminal.writing,
            env=environment(tmp_path),
            timeout=limit(),
            check=False,
        )
        assert (result.returncode, result.stdout) == (3, b"")
        assert lines() == ["aioteredo: the Teredo client of quiet has no port"]


def test_person_reads_that_there_is_no_port_in_this_process() -> None:
    """The command of this process prints the line, so that its coverage is measured."""
    with use_backend(SimulatedBackend()):
        assert run_on_a_terminal("port") == (
            3,
            "aioteredo: the Teredo client has no port\n",
        )
