"""``aioteredo exec``: the port that CMD gets, and the process that CMD runs in."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ..support.running import RunningCommand
from ..support.runs import Runs
from .marks import each_on_busy, posix


def test_cmd_gets_the_port_as_argument_and_in_the_environment(
    running: RunningCommand, runs: Runs
) -> None:
    """CMD gets the port in its arguments, and both ports in its environment."""
    running.start("exec", "--", *runs.cmd, "{ {port} } {port}{}")
    running.change(51234)
    run = runs.next()
    assert run.argument == "{ 51234 } 51234{}"
    assert (run.port, run.previous) == ("51234", "")
    run.finish()

    running.change(60123)
    run = runs.next()
    assert run.argument == "{ 60123 } 60123{}"
    assert (run.port, run.previous) == ("60123", "51234")


def test_initial_runs_cmd_before_any_change(running: RunningCommand, runs: Runs) -> None:
    """With ``--initial``, CMD runs for the state at the start."""
    running.start("exec", "--initial", "--no-port", "none", "--", *runs.cmd, "{port}")
    assert runs.next().argument == "none"


@each_on_busy
def test_without_no_port_nothing_runs_while_there_is_no_port(
    running: RunningCommand, runs: Runs, on_busy: str
) -> None:
    """A port that goes away starts no run and is not the previous port of the next run."""
    running.start("exec", "--initial", "--on-busy", on_busy, "--", *runs.cmd, "{port}")
    running.change(1)
    runs.next().finish()

    running.change(None)
    running.change(2)
    run = runs.next()
    assert (run.port, run.previous) == ("2", "1")


@pytest.mark.parametrize("text", ["none", ""])
def test_text_of_no_port_stands_for_the_port(
    running: RunningCommand, runs: Runs, text: str
) -> None:
    """The text of ``--no-port`` is the port of CMD, and later the previous port."""
    running.start("exec", f"--no-port={text}", "--", *runs.cmd, "<{port}>")
    running.change(None)
    run = runs.next()
    assert (run.argument, run.port, run.previous) == (f"<{text}>", text, "")
    run.finish()

    running.change(7)
    run = runs.next()
    assert (run.port, run.previous) == ("7", text)


@posix
def test_cmd_has_its_own_session_and_no_input(running: RunningCommand) -> None:
    """CMD leads a session of its own, and its standard input is empty."""
    code = "import os, sys; print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()))"
    running.start("exec", "--", sys.executable, "-ISc", code, stdin=subprocess.PIPE)
    running.change(1)
    assert running.read_line() == "True ''"
