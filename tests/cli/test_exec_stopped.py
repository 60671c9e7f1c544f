"""``exec`` when a signal stops it: CMD ends first, and nothing is left running."""

from __future__ import annotations

import signal
import sys

import pytest

from ..support.command import killed_by
from ..support.full_pipes import wait_until_full
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import limit
from .marks import STOPPING_SIGNALS, each_on_busy, linux, posix


@pytest.mark.parametrize("stop", STOPPING_SIGNALS)
@each_on_busy
def test_signal_ends_exec_at_once_while_no_cmd_runs(
    running: RunningCommand, on_busy: str, stop: str
) -> None:
    """A signal ends ``exec`` without output, and the exit status names it."""
    running.start("exec", "--on-busy", on_busy, "--", sys.executable)
    running.raise_signal(STOPPING_SIGNALS[stop])
    assert running.wait() == (killed_by(STOPPING_SIGNALS[stop]), "")


@pytest.mark.parametrize("stop", STOPPING_SIGNALS)
@each_on_busy
def test_signal_ends_cmd_and_its_children_before_exec(
    running: RunningCommand, runs: Runs, on_busy: str, stop: str
) -> None:
    """A signal ends CMD and the processes that CMD has started."""
    # On Windows, exec ends CMD, but cannot end the children of CMD.
    options = [] if sys.platform == "win32" else ["parent"]
    running.start("exec", "--on-busy", on_busy, "--", *runs.cmd, *options, "{port}")
    running.change(1)
    processes = [runs.next() for _ in range(1 + len(options))]
    running.raise_signal(STOPPING_SIGNALS[stop])
    assert running.wait() == (killed_by(STOPPING_SIGNALS[stop]), "")
    assert not any(run.is_running() for run in processes)


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signal_of_another_process_ends_cmd_before_exec(
    running: RunningCommand, runs: Runs, name: str
) -> None:
    """A signal of another process ends CMD and the processes that CMD has started."""
    number = signal.Signals[name]
    running.start("exec", "--", *runs.cmd, "parent", "{port}")
    running.change(1)
    processes = [runs.next(), runs.next()]
    running.process.send_signal(number)
    assert running.wait() == (killed_by(number), "")
    assert not any(run.is_running() for run in processes)


@linux
@each_on_busy
def test_signal_ends_exec_while_stderr_is_full(
    running: RunningCommand, on_busy: str
) -> None:
    """A signal ends ``exec`` while it waits to write to a full stderr."""
    running.start("exec", "--on-busy", on_busy, "--", "{port}" + "x" * 70_000)
    running.change(1)
    wait_until_full(running.process.stderr)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(limit()) == killed_by(signal.SIGTERM)


@posix
def test_hangup_that_nohup_ignores_does_not_end_exec(
    running: RunningCommand, runs: Runs
) -> None:
    """Under nohup, the end of a terminal does not end ``exec``."""
    if sys.platform == "win32":
        raise NotImplementedError
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        # The command inherits the signals that are ignored.
        running.start("exec", "--", *runs.cmd, "{port}")
    finally:
        signal.signal(signal.SIGHUP, before)
    running.process.send_signal(signal.SIGHUP)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == (killed_by(signal.SIGTERM), "")
