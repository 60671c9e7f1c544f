"""Signals and standard streams that ``exec`` inherits from the process that starts it."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from aioteredo._cli.output import open_missing_streams

from ..support.command import killed_by
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import wait_until
from .marks import linux

pytestmark = linux

# A CMD that prints whether SIGCHLD has its default action, and which signals are blocked.
PRINT_SIGNALS = """
import signal
print(signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL, signal.pthread_sigmask(0, ()))
"""

# A CMD that writes the paths of its standard streams to a file.
WRITE_STREAMS = """
import os, sys
with open(sys.argv[1] + ".new", "w") as file:
    print(*(os.readlink(f"/proc/self/fd/{number}") for number in range(3)), file=file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""


def ignore_sigchld() -> None:
    if sys.platform != "win32":
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def block_all_signals() -> None:
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def close_standard_streams() -> None:
    for number in range(3):
        os.close(number)


@pytest.mark.parametrize("inherit", [ignore_sigchld, block_all_signals])
def test_inherited_signals_do_not_hide_the_exit_status_of_cmd(
    running: RunningCommand, runs: Runs, inherit: object
) -> None:
    """``exec`` gets the exit status of CMD even if SIGCHLD was ignored or blocked."""
    running.start("exec", "--fail-fast", "--", *runs.cmd, "{port}", preexec_fn=inherit)
    running.change(1)
    runs.next().finish()
    running.change(2)
    runs.next().finish(3)
    assert running.wait() == (
        1,
        f"aioteredo: port 2: {sys.executable!r} failed: exit status 3\n",
    )


@pytest.mark.parametrize("inherit", [ignore_sigchld, block_all_signals])
def test_cmd_does_not_inherit_the_signals_of_the_parent(
    running: RunningCommand, inherit: object
) -> None:
    """SIGCHLD has its default action in CMD, and no signal is blocked."""
    cmd = [sys.executable, "-ISc", PRINT_SIGNALS]
    running.start("exec", "--", *cmd, preexec_fn=inherit)
    running.change(1)
    assert running.read_line() == "True set()"


@pytest.mark.parametrize("arguments", [["watch"], ["exec", "--", "true"]], ids=" ".join)
def test_inherited_block_of_sigterm_does_not_keep_the_command_alive(
    running: RunningCommand, arguments: list[str]
) -> None:
    """SIGTERM ends the command even if its parent has blocked SIGTERM."""
    running.start(*arguments, preexec_fn=block_all_signals)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == (killed_by(signal.SIGTERM), "")


def test_cmd_has_the_null_device_for_closed_standard_streams(
    running: RunningCommand, tmp_path: os.PathLike[str]
) -> None:
    """CMD has three standard streams even if ``exec`` was started without any."""
    path = os.path.join(tmp_path, "streams")
    cmd = [sys.executable, "-ISc", WRITE_STREAMS, path]
    running.start("exec", "--", *cmd, preexec_fn=close_standard_streams)
    running.change(1)
    wait_until(lambda: os.path.exists(path), "CMD has written its streams")
    with open(path, encoding="ascii") as file:
        assert file.read() == "/dev/null /dev/null /dev/null\n"


def test_closed_stdin_becomes_an_inheritable_null_device() -> None:
    """The null device takes the number of a closed standard stream, and CMD inherits it."""
    saved = os.dup(0)
    try:
        os.close(0)
        open_missing_streams()
        assert os.path.samestat(os.fstat(0), os.stat(os.devnull))
        assert os.get_inheritable(0)
    finally:
        os.dup2(saved, 0)
        os.close(saved)


@pytest.mark.parametrize("arguments", [["watch"], ["exec", "--", "true"]], ids=" ".join)
def test_event_loop_takes_no_number_of_a_closed_standard_stream(
    running: RunningCommand, arguments: list[str]
) -> None:
    """The null device has the numbers 0 to 2, so no socket of the loop gets one of them."""
    running.start(*arguments, preexec_fn=close_standard_streams)
    directory = f"/proc/{running.process.pid}/fd"
    assert {os.readlink(f"{directory}/{number}") for number in range(3)} == {"/dev/null"}
