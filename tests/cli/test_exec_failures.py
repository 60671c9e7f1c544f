"""``exec`` when CMD or the backend fails."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.command import killed_by
from ..support.running import RunningCommand
from ..support.runs import Runs
from .exec_command import PYTHON, start_exec
from .marks import each_on_busy, posix


def test_failed_cmd_is_one_line_and_the_next_change_runs_cmd(
    running: RunningCommand, runs: Runs
) -> None:
    """CMD that fails is reported in one line, and ``exec`` goes on."""
    running.start("exec", "--", *runs.cmd, "{port}")
    running.change(1)
    runs.next().finish(3)
    running.change(2)
    runs.next()
    running.raise_signal(signal.SIGINT)
    failed = f"aioteredo: port 1: {PYTHON} failed: exit status 3\n"
    assert running.wait() == (killed_by(signal.SIGINT), failed)


def test_fail_fast_ends_exec_with_1_after_a_failure(
    running: RunningCommand, runs: Runs
) -> None:
    """With ``--fail-fast``, the first failure of CMD ends ``exec``."""
    running.start("exec", "--fail-fast", "--", *runs.cmd, "{port}")
    running.change(1)
    runs.next().finish(3)
    failed = f"aioteredo: port 1: {PYTHON} failed: exit status 3\n"
    assert running.wait() == (1, failed)


@posix
def test_cmd_that_a_signal_kills_has_failed(running: RunningCommand, runs: Runs) -> None:
    """The report of a CMD that was killed names the signal."""
    if sys.platform == "win32":
        raise NotImplementedError
    running.start("exec", "--on-busy", "restart", "--fail-fast", "--", *runs.cmd, "{port}")
    running.change(1)
    os.kill(runs.next().pid, signal.SIGKILL)
    status, error = running.wait()
    assert (status, error.split(" failed: ")[1]) == (1, "killed by SIGKILL\n")


def test_cmd_that_cannot_be_started_is_reported_and_exec_goes_on(
    running: RunningCommand,
) -> None:
    """CMD that cannot be started is one line, and ``exec`` ends only with the backend."""
    running.start("exec", "--", sys.executable + "{port}")
    running.change(1)
    report = running.read_error_line()
    assert report.startswith(f"aioteredo: port 1: cannot run {sys.executable + '1'!r}: ")

    running.change(None)
    running.fail(31, wait=False)
    status, error = running.wait()
    assert status == 1
    assert error.startswith("aioteredo: GetTeredoPort: [WinError 31] ERROR_GEN_FAILURE")
    assert error.count("\n") == 1


@each_on_busy
def test_failure_of_the_backend_ends_exec_and_cmd(
    running: RunningCommand, runs: Runs, on_busy: str
) -> None:
    """A backend that fails is one line and exit status 1, and CMD does not go on."""
    running.start("exec", "--on-busy", on_busy, "--", *runs.cmd, "{port}")
    running.change(1)
    run = runs.next()

    if on_busy == "restart":
        running.fail(31, wait=False)
    else:
        # CMD runs to its end, and the command notices the failure afterwards.
        running.fail(31)
        run.finish()

    status, error = running.wait()
    assert status == 1
    assert not run.is_running()
    assert error.startswith("aioteredo: GetTeredoPort: [WinError 31] ERROR_GEN_FAILURE")
    assert error.count("\n") == 1


@pytest.mark.parametrize("separator", [["--"], []])
def test_separator_before_cmd_is_optional(
    separator: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """``--`` can be left out, and CMD keeps the options that belong to it."""
    cmd = [sys.executable, "-c", "raise SystemExit(3)", "--", "--initial"]
    with use_backend(SimulatedBackend(5)):
        assert main(["exec", "--fail-fast", "--initial", *separator, *cmd]) == 1
    assert capsys.readouterr().err.endswith(" failed: exit status 3\n")


def test_report_of_a_failed_start_has_the_name_with_the_port(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The report names CMD with the port filled in, as it was to be started."""
    with use_backend(SimulatedBackend(5)):
        assert main(["exec", "--fail-fast", "--initial", "no-such-command-{port}"]) == 1
    assert capsys.readouterr().err.startswith(
        "aioteredo: port 5: cannot run 'no-such-command-5': "
    )


@posix
@pytest.mark.parametrize(
    ("number", "name"), [("KILL", "SIGKILL"), (40, "signal 40")], ids=["named", "without"]
)
def test_report_names_the_signal_or_its_number(
    number: object, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Most realtime signals have no name, so the report has the number."""
    if number == 40 and sys.platform != "linux":
        pytest.skip("no realtime signals")
    with use_backend(SimulatedBackend(5)):
        cmd = ["sh", "-c", f"kill -{number} $$"]
        assert main(["exec", "--fail-fast", "--initial", "--", *cmd]) == 1
    assert capsys.readouterr().err == f"aioteredo: port 5: 'sh' failed: killed by {name}\n"


def test_report_without_a_port_says_no_port(running: RunningCommand, runs: Runs) -> None:
    """The report says ``no port`` even if the text of ``--no-port`` is empty."""
    start_exec(running, runs, "--initial", "--no-port=", "--fail-fast")
    runs.next().finish(3)
    failed = f"aioteredo: no port: {PYTHON} failed: exit status 3\n"
    assert running.wait() == (1, failed)
