"""The command at the limits of processes and of descriptors."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.command import killed_by, run, run_interpreter
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import wait_until
from .marks import linux

pytestmark = linux

COMMANDS = {
    "watch": ["watch", "--backend", "simulated", "--initial", "--count", "1"],
    "exec": ["exec", "--backend", "simulated", "--initial", "--fail-fast", "--", "false"],
    "port": ["port", "--backend", "simulated"],
    "backends": ["backends"],
    "miredo": ["watch", "--backend", "miredo", "--timeout", "0.1"],
}


def limit_descriptors(most: int) -> tuple[str, ...]:
    """Return a prefix that runs a command with a limit of descriptors."""
    return ("prlimit", f"--nofile={most}")


@pytest.mark.parametrize("name", COMMANDS)
def test_command_with_few_descriptors_works_or_says_why_not(name: str) -> None:
    """With any limit of descriptors, the command works or prints one line."""
    # Below a certain limit, Python itself does not start.
    least = 3
    while run_interpreter("-c", "", prefix=limit_descriptors(least)).returncode != 0:
        least += 1
        assert least < 10

    for most in range(least, 16):
        done = run(*COMMANDS[name], prefix=limit_descriptors(most))
        lines = done.stderr.splitlines()
        if done.returncode == 0:
            assert lines == [], most
        else:
            assert (done.returncode, len(lines)) == (1, 1), (most, lines)
            assert lines[0].startswith("aioteredo: "), most


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_backend_without_a_descriptor_is_one_line_with_a_remedy(
    code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A backend at a limit of descriptors is reported with the remedy."""

    class Limited(SimulatedBackend):
        def get_port(self) -> int | None:
            raise OSError(code, os.strerror(code))

    with use_backend(Limited()):
        assert main(["port"]) == 1
    error = capsys.readouterr().err
    assert error == f"aioteredo: {os.strerror(code)}: raise the limit, as with ulimit -n\n"


class TaskLimit:
    """A limit of tasks, which are threads and processes, by a control group."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def set(self, running: RunningCommand, more: int) -> None:
        """Let the command start *more* tasks than it has now."""
        pid = running.process.pid
        (self._directory / "cgroup.procs").write_text(str(pid))
        now = len(os.listdir(f"/proc/{pid}/task"))
        (self._directory / "pids.max").write_text(str(now + more))

    def remove(self) -> None:
        """Let the command start any number of tasks."""
        (self._directory / "pids.max").write_text("max")


@pytest.fixture
def task_limit() -> Iterator[TaskLimit]:
    """A control group, with which a test can limit the tasks of a command."""
    name = f"aioteredo-{os.getpid()}"
    for directory in (Path("/sys/fs/cgroup/pids", name), Path("/sys/fs/cgroup", name)):
        try:
            directory.mkdir()
        except OSError:
            continue
        if (directory / "pids.max").exists():
            break
        directory.rmdir()
    else:
        pytest.skip("no control group with a limit of tasks can be made here")
    yield TaskLimit(directory)

    def is_removed() -> bool:
        try:
            directory.rmdir()
        except OSError:  # The last process of the group is still ending.
            return False
        return True

    wait_until(is_removed, "the end of the control group")


def test_cmd_that_cannot_be_forked_is_reported_and_exec_goes_on(
    task_limit: TaskLimit, running: RunningCommand, runs: Runs
) -> None:
    """CMD that cannot be forked is one line, and the next change runs CMD."""
    running.start("exec", "--", *runs.cmd, "{port}")
    task_limit.set(running, 0)
    running.change(1)
    report = running.read_error_line()
    assert report.startswith(f"aioteredo: port 1: cannot run {sys.executable!r}: ")

    task_limit.remove()
    running.change(2)
    assert runs.next().port == "2"

    # The fixture can remove the control group only when no process is left in it.
    running.close()


def test_exec_needs_no_thread_to_wait_for_cmd(
    task_limit: TaskLimit, running: RunningCommand, runs: Runs
) -> None:
    """``exec`` notices the end of CMD even if the system refuses another thread."""
    running.start("exec", "--", *runs.cmd, "{port}")
    task_limit.set(running, 1)
    for port in (1, 2):
        running.change(port)
        runs.next().finish()

    running.change(3)
    run = runs.next()
    running.process.send_signal(signal.SIGTERM)
    run.wait_until_ended()
    assert running.wait() == (killed_by(signal.SIGTERM), "")
