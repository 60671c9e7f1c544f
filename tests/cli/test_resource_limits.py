"""The command at the limits of tasks and of descriptors."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.command import command, environment, killed_by
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import limit, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses prlimit and cgroups")

COMMANDS = {
    "watch": ["watch", "--backend", "simulated", "--initial", "--count", "1"],
    "exec": ["exec", "--backend", "simulated", "--initial", "--fail-fast", "--", "false"],
    "port": ["port", "--backend", "simulated"],
    "backends": ["backends"],
    "miredo": ["watch", "--backend", "miredo", "--timeout", "0.1"],
}


def run_with_descriptors(most: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["prlimit", f"--nofile={most}", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=limit(),
        check=False,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_few_descriptors(name: str) -> None:
    """With any number of descriptors, the command works or says why not in one line."""
    least = 3
    while run_with_descriptors(least, sys.executable, "-c", "").returncode != 0:
        least += 1  # Python itself does not start
        assert least < 10

    for most in range(least, 16):
        done = run_with_descriptors(most, *command(*COMMANDS[name]))
        lines = done.stderr.splitlines()
        if done.returncode == 0:
            assert lines == [], most
        else:
            assert (done.returncode, len(lines)) == (1, 1), (most, lines)
            assert lines[0].startswith("aioteredo: "), most


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_no_descriptor_for_a_backend(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit of descriptors is one line that names the remedy."""

    class Limited(SimulatedBackend):
        def get_port(self) -> int | None:
            raise OSError(code, os.strerror(code))

    with use_backend(Limited()):
        assert main(["port"]) == 1
    said = capsys.readouterr().err
    assert said == f"aioteredo: {os.strerror(code)}: raise the limit, as with ulimit -n\n"


class Tasks:
    """A control group with a limit of tasks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def allow(self, running: RunningCommand, more: int) -> None:
        """Allow the command *more* tasks than it has now."""
        pid = running.process.pid
        (self._directory / "cgroup.procs").write_text(str(pid))
        now = len(os.listdir(f"/proc/{pid}/task"))
        (self._directory / "pids.max").write_text(str(now + more))

    def allow_any(self) -> None:
        (self._directory / "pids.max").write_text("max")


@pytest.fixture
def tasks() -> Iterator[Tasks]:
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
    yield Tasks(directory)

    def is_removed() -> bool:
        try:
            directory.rmdir()
        except OSError:  # a process in it has not quite ended
            return False
        return True

    wait_until(is_removed, "the control group is removed")


def test_no_task_for_cmd(tasks: Tasks, running: RunningCommand, runs: Runs) -> None:
    """CMD that cannot be forked is one line, and the next change is followed."""
    running.start("exec", "--", *runs.cmd, "{port}")
    tasks.allow(running, 0)
    running.change(1)
    assert running.process.stderr is not None
    said = running.process.stderr.readline().decode()
    assert said.startswith(f"aioteredo: port 1: cannot run {sys.executable!r}: ")
    tasks.allow_any()
    running.change(2)
    assert runs.next().port == "2"
    running.close()


def test_one_task_for_cmd(tasks: Tasks, running: RunningCommand, runs: Runs) -> None:
    """CMD needs no other task than its own: its end is heard of without a thread."""
    running.start("exec", "--", *runs.cmd, "{port}")
    tasks.allow(running, 1)
    for port in (1, 2):
        running.change(port)
        runs.next().finish()
    running.change(3)
    run = runs.next()
    running.process.send_signal(signal.SIGTERM)
    run.wait_until_ended()
    assert running.wait() == (killed_by(signal.SIGTERM), "")
