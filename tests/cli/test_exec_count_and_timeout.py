"""``exec --count`` and ``exec --timeout``: when ``exec`` ends by itself."""

from __future__ import annotations

import sys

import pytest

from ..support.command import run as run_command
from ..support.running import RunningCommand
from ..support.runs import Runs
from .exec_command import PYTHON, start_exec
from .marks import each_on_busy


@each_on_busy
def test_count_of_runs_ends_exec_with_0(
    running: RunningCommand, runs: Runs, on_busy: str
) -> None:
    """``exec`` exits with 0 after the last run has ended by itself."""
    start_exec(running, runs, "-n2", "--every=0.01", "--on-busy", on_busy)
    running.change(1)
    runs.next().finish()
    runs.next().finish()
    assert running.wait() == (0, "")


def test_run_that_restart_ends_is_not_counted(running: RunningCommand, runs: Runs) -> None:
    """With ``--count 1``, only the run that ends by itself is counted."""
    start_exec(running, runs, "--count=1", "--on-busy=restart")
    running.change(1)
    first = runs.next()
    running.change(2)
    first.wait_until_ended()
    second = runs.next()
    assert second.port == "2"
    second.finish()
    assert running.wait() == (0, "")


def test_change_without_a_run_is_not_counted(running: RunningCommand, runs: Runs) -> None:
    """Without ``--no-port``, the state without a port is not a run."""
    start_exec(running, runs, "--initial", "--count=1")
    running.change(1)
    runs.next().finish()
    assert running.wait() == (0, "")


def test_failed_run_is_counted(running: RunningCommand, runs: Runs) -> None:
    """The count ends ``exec`` even if CMD fails each time."""
    start_exec(running, runs, "--count=1")
    running.change(1)
    runs.next().finish(3)
    failed = f"aioteredo: port 1: {PYTHON} failed: exit status 3\n"
    assert running.wait() == (0, failed)


def test_failure_of_the_last_run_exits_with_1_under_fail_fast(
    running: RunningCommand, runs: Runs
) -> None:
    """If the last run of the count fails, ``--fail-fast`` makes the exit status 1."""
    start_exec(running, runs, "--count=1", "--fail-fast")
    running.change(1)
    runs.next().finish(3)
    assert running.wait()[0] == 1


@each_on_busy
def test_timeout_without_a_change_ends_exec_with_0(on_busy: str) -> None:
    """``exec`` exits with 0 after ``--timeout`` even if CMD has never run."""
    options = ["--backend=simulated", "--timeout=0.1", "--on-busy", on_busy]
    done = run_command("exec", *options, "--", sys.executable)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("on_busy", ["latest", "restart"])
def test_timeout_ends_cmd_and_exits_with_0(
    running: RunningCommand, runs: Runs, on_busy: str
) -> None:
    """CMD that runs at the timeout is ended, and the exit status is 0."""
    start_exec(running, runs, "--timeout=3", "--on-busy", on_busy)
    running.change(1)
    run = runs.next()
    assert running.wait() == (0, "")
    assert not run.is_running()
