"""``exec`` in PID namespaces: how it ends the process group of CMD, and reaps orphans."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from ..support.command import killed_by
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import wait_until
from .cmd_sources import MEMBER_OF_ANOTHER_USER, run_as_cmd
from .exec_command import PYTHON

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="needs root and namespaces of Linux",
)

# Commands that mount /proc for an exec that is the first process of a PID namespace.
MOUNT_PROC = {
    "of-this-namespace": "mount -t proc proc /proc",
    "hiding-other-users": "mount -t proc -o hidepid=2 proc /proc",
    "of-another-namespace": ":",
    "absent": "mount -t tmpfs tmpfs /proc",
}

# The first process of a PID namespace. It makes zombies with low numbers, each with a group
# of its own, and runs a command. If the command makes a namespace, the same numbers are
# living processes there, which exec must not take for the zombies.
ZOMBIES = """
import os, subprocess, sys
for _ in range(100):
    if not os.fork():
        os.setpgid(0, 0)
        os._exit(0)
sys.exit(subprocess.call(sys.argv[1:]))
"""


def enter_namespace(proc: str, without: str = "-kill") -> list[str]:
    """Return a prefix that runs a command as the first process of a PID namespace.

    :param proc: a key of MOUNT_PROC
    :param without: the capabilities that the command lacks, for ``setpriv``
    """
    unshare = ["unshare", "--pid", "--fork", "--mount", "--kill-child"]
    outer = [*unshare, "--mount-proc", sys.executable, "-ISc", ZOMBIES]
    prepare = f'{MOUNT_PROC[proc]} && exec setpriv --bounding-set={without} "$@"'
    return [*outer, *unshare, "sh", "-c", prepare, "sh"]


@pytest.mark.parametrize("proc", MOUNT_PROC)
def test_member_of_another_user_is_waited_for(
    running: RunningCommand, runs: Runs, proc: str
) -> None:
    """A process that ``exec`` may not end is reported once, and waited for."""
    cmd = run_as_cmd(MEMBER_OF_ANOTHER_USER, runs)
    running.start("exec", "--", *cmd, prefix=enter_namespace(proc, "-kill,-sys_ptrace"))
    running.change(1)
    member = runs.next()
    running.raise_signal(signal.SIGTERM)

    report = running.read_error_line()
    refused = r"\(pid \d+\): Operation not permitted; waiting for it\n"
    assert re.fullmatch(f"aioteredo: cannot end {sys.executable!r} {refused}", report)

    assert running.process.poll() is None
    member.finish()
    assert running.wait() == (143, "")


def test_member_is_killed_under_the_proc_of_another_namespace(
    running: RunningCommand, runs: Runs
) -> None:
    """A process that ignores SIGTERM is killed even if /proc shows other processes."""
    cmd = [*runs.cmd, "parent", "stubborn", "{port}"]
    prefix = enter_namespace("of-another-namespace")
    running.start("exec", "--on-busy", "restart", "--", *cmd, prefix=prefix)
    running.change(1)
    first = [runs.next(), runs.next()]

    running.change(2)
    assert runs.next().port == "2"
    for run in first:
        run.wait_until_ended(0)


def test_stopped_cmd_is_continued_to_handle_sigterm(running: RunningCommand) -> None:
    """CMD that is stopped gets SIGCONT, because it could not handle SIGTERM otherwise."""
    stop = "trap 'echo asked; exit' TERM; echo $$; kill -STOP $$"
    running.start("exec", "--", "sh", "-c", stop)
    running.change(1)
    stat = Path("/proc", running.read_line(), "stat")
    wait_until(lambda: stat.read_text().rpartition(") ")[2][0] == "T", "CMD is stopped")

    running.process.send_signal(signal.SIGTERM)
    assert running.read_line() == "asked"
    assert running.wait() == (killed_by(signal.SIGTERM), "")


def test_first_process_of_a_container_reaps_the_orphans_of_cmd(
    running: RunningCommand, runs: Runs
) -> None:
    """The orphans of CMD do not stay zombies, and ``exec`` gets the exit status of CMD."""
    prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    running.start("exec", "--", *runs.cmd, "parent", "{port}", prefix=prefix)
    for port in range(1, 6):
        running.change(port)
        for run in (runs.next(), runs.next()):
            run.finish(3)

    for port in range(1, 6):
        failed = f"aioteredo: port {port}: {PYTHON} failed: exit status 3\n"
        assert running.read_error_line() == failed

    (first_process,) = find_children(running.process.pid)
    wait_until(lambda: find_children(first_process) == [], "the end of all zombies")
    assert running.process.poll() is None


def find_children(parent: int) -> list[int]:
    """Return the children of a process, with the zombies that it has not reaped."""
    path = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(child) for child in path.read_text("ascii").split()]
