"""The command at the limit of tasks."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .command import Running, Runs
from .waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses cgroups")


class Tasks:
    """A control group with a limit of tasks."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def allow(self, running: Running, more: int) -> None:
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


def test_no_task_for_cmd(tasks: Tasks, running: Running, runs: Runs) -> None:
    """CMD that cannot be forked is one line, and the next change is followed."""
    running.start("exec", "--", *runs.cmd, "{port}")
    tasks.allow(running, 0)
    running.change(1)
    assert running.process.stderr is not None
    said = running.process.stderr.readline().decode()
    assert said.startswith(f"aioteredo: cannot run {sys.executable!r}: ")
    tasks.allow_any()
    running.change(2)
    assert runs.next().port == "2"
    running.close()


def test_one_task_for_cmd(tasks: Tasks, running: Running, runs: Runs) -> None:
    """CMD needs no other task than its own: its end is heard of without a thread."""
    running.start("exec", "--", *runs.cmd, "{port}")
    tasks.allow(running, 1)
    for port in (1, 2):
        running.change(port)
        runs.next().finish()
    running.change(3)
    run = runs.next()
    running.process.send_signal(signal.SIGTERM)
    run.wait_until_gone()
    assert running.wait() == (143, "")
