"""``exec --verbose``: the report of each run."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.command import killed_by
from ..support.running import RunningCommand
from ..support.runs import Runs
from .exec_command import PYTHON, start_exec
from .marks import posix


def test_each_run_is_one_line_with_port_status_and_seconds(
    running: RunningCommand, runs: Runs
) -> None:
    """Each run is one line, with the port, the exit status and the seconds."""
    start_exec(running, runs, "-v", "--no-port=none", "--count=3")
    for port, status in ((1, 0), (None, 0), (2, 3)):
        running.change(port)
        run = runs.next()
        run.finish(status)
        run.wait_until_ended()

    status, error = running.wait()
    assert status == 0
    assert re.sub(r"\d+\.\d{3} s", "N s", error).splitlines() == [
        "aioteredo: port 1: exit status 0 (N s)",
        "aioteredo: no port: exit status 0 (N s)",
        f"aioteredo: port 2: {PYTHON} failed: exit status 3 (N s)",
    ]


def test_run_that_restart_ends_is_reported_as_interrupted(
    running: RunningCommand, runs: Runs
) -> None:
    """The line of a run that ``restart`` ends has no exit status."""
    start_exec(running, runs, "--verbose", "--on-busy=restart", "--count=1")
    running.change(1)
    runs.next()
    running.change(2)
    runs.next().finish()

    status, error = running.wait()
    assert status == 0
    assert re.sub(r"\d+\.\d{3} s", "N s", error).splitlines() == [
        "aioteredo: port 1: interrupted by a change (N s)",
        "aioteredo: port 2: exit status 0 (N s)",
    ]


@posix
def test_run_that_a_signal_to_exec_ends_is_not_reported(
    running: RunningCommand, runs: Runs
) -> None:
    """A run that ends because ``exec`` is stopped has no line."""
    start_exec(running, runs, "--verbose")
    running.change(1)
    runs.next()
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == (killed_by(signal.SIGTERM), "")


def test_run_is_reported_whether_it_succeeds_or_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``main()`` reports a run in one line, which says ``failed`` if the run has failed."""
    cmd = [sys.executable, "-ISc", "raise SystemExit({port} == 6)"]
    for port in (5, 6):
        with use_backend(SimulatedBackend(port)):
            assert main(["exec", "--initial", "--verbose", "-n1", "--", *cmd]) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("aioteredo: port 5: exit status 0 (")
    assert second.startswith(f"aioteredo: port 6: {PYTHON} failed: exit status 1 (")
