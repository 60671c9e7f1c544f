"""What whoever starts ``exec`` leaves behind in it: signals and standard streams."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from aioteredo._cli.output import open_missing

from ..support.command import killed_by
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="looks at signals and descriptors in Linux' /proc"
)

# CMD tells its exceptional signals, and where its standard streams lead to.
TELL_SIGNALS = """
import signal
print(signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL, signal.pthread_sigmask(0, ()))
"""
TELL_STREAMS = """
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
def test_signals_of_the_parent_keep_no_exit_status_from_us(
    running: RunningCommand, runs: Runs, inherit: object
) -> None:
    """CMD that succeeds has succeeded, and CMD that fails has failed."""
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
def test_cmd_gets_no_signals_of_the_parent(
    running: RunningCommand, inherit: object
) -> None:
    """CMD has the default for SIGCHLD, and no signal is blocked."""
    cmd = [sys.executable, "-ISc", TELL_SIGNALS]
    running.start("exec", "--", *cmd, preexec_fn=inherit)
    running.change(1)
    assert running.read_line() == "True set()"


@pytest.mark.parametrize("arguments", [["watch"], ["exec", "--", "true"]], ids=" ".join)
def test_blocked_signal_ends_us(running: RunningCommand, arguments: list[str]) -> None:
    """SIGTERM ends the command although its parent had blocked SIGTERM."""
    running.start(*arguments, preexec_fn=block_all_signals)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == (killed_by(signal.SIGTERM), "")


def test_cmd_has_three_standard_streams(
    running: RunningCommand, tmp_path: os.PathLike[str]
) -> None:
    """Without any standard stream of ours, CMD has the null device as all three."""
    told = os.path.join(tmp_path, "told")
    cmd = [sys.executable, "-ISc", TELL_STREAMS, told]
    running.start("exec", "--", *cmd, preexec_fn=close_standard_streams)
    running.change(1)
    wait_until(lambda: os.path.exists(told), "CMD has told its streams")
    with open(told, encoding="ascii") as file:
        assert file.read() == "/dev/null /dev/null /dev/null\n"


def test_missing_descriptor_in_this_process() -> None:
    """The null device takes the number of a closed standard stream, and CMD inherits it."""
    saved = os.dup(0)
    try:
        os.close(0)
        open_missing()
        assert os.path.samestat(os.fstat(0), os.stat(os.devnull))
        assert os.get_inheritable(0)
    finally:
        os.dup2(saved, 0)
        os.close(saved)


@pytest.mark.parametrize("arguments", [["watch"], ["exec", "--", "true"]], ids=" ".join)
def test_no_descriptor_of_ours_is_a_standard_stream(
    running: RunningCommand, arguments: list[str]
) -> None:
    """Started without standard streams, no socket of the event loop takes their place."""
    running.start(*arguments, preexec_fn=close_standard_streams)
    directory = f"/proc/{running.process.pid}/fd"
    assert {os.readlink(f"{directory}/{number}") for number in range(3)} == {"/dev/null"}
