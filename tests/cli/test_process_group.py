"""How ``exec`` ends the process group of CMD, and reaps what CMD leaves behind."""

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

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs Linux' namespaces, and root"
)

# How /proc can be where exec is the first process of a PID namespace.
PROC = {
    "ours": "mount -t proc proc /proc",
    "hiding-other-users": "mount -t proc -o hidepid=2 proc /proc",
    "of-another-namespace": ":",
    "absent": "mount -t tmpfs tmpfs /proc",
}

# The first process of a namespace in which the low numbers are zombies, each with a group
# of its own. In a namespace below it, the same numbers are processes that live.
ZOMBIES = """
import os, subprocess, sys
for _ in range(100):
    if not os.fork():
        os.setpgid(0, 0)
        os._exit(0)
sys.exit(subprocess.call(sys.argv[1:]))
"""


def inside(proc: str, without: str = "-kill") -> list[str]:
    """Return a prefix that runs a command as the first process of a PID namespace.

    :param without: the capabilities that the command lacks
    """
    unshare = ["unshare", "--pid", "--fork", "--mount", "--kill-child"]
    above = [*unshare, "--mount-proc", sys.executable, "-ISc", ZOMBIES]
    prepare = f'{PROC[proc]} && exec setpriv --bounding-set={without} "$@"'
    return [*above, *unshare, "sh", "-c", prepare, "sh"]


# A leader that waits, and a child of it that becomes another user.
MEMBER_OF_ANOTHER_USER = """
import os, signal, socket, sys
if os.fork():
    signal.pause()
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    os.setuid(65534)
    connection.sendall(repr((os.getpid(), ["", "", ""])).encode() + b"\\n")
    connection.recv(1)
"""


@pytest.mark.parametrize("proc", PROC)
def test_member_of_another_user_is_waited_for(
    running: RunningCommand, runs: Runs, proc: str
) -> None:
    """A process of the group that we may not end is reported once, and waited for."""
    cmd = [sys.executable, "-ISc", MEMBER_OF_ANOTHER_USER, runs.cmd[-1]]
    running.start("exec", "--", *cmd, prefix=inside(proc, "-kill,-sys_ptrace"))
    running.change(1)
    member = runs.next()
    running.raise_signal(signal.SIGTERM)
    assert running.process.stderr is not None
    said = running.process.stderr.readline().decode()
    refused = r"\(pid \d+\): Operation not permitted; waiting for it\n"
    assert re.fullmatch(f"aioteredo: cannot end {sys.executable!r} {refused}", said)
    assert running.process.poll() is None
    member.finish()
    assert running.wait() == (143, "")


def test_member_is_killed_under_the_proc_of_another_namespace(
    running: RunningCommand, runs: Runs
) -> None:
    """A process that ignores SIGTERM is killed before the next run all the same."""
    cmd = [*runs.cmd, "parent", "stubborn", "{port}"]
    prefix = inside("of-another-namespace")
    running.start("exec", "--on-busy", "restart", "--", *cmd, prefix=prefix)
    running.change(1)
    first = [runs.next(), runs.next()]
    running.change(2)
    assert runs.next().port == "2"
    for run in first:
        run.wait_until_ended(0)


def test_stopped_cmd_is_asked_to_end(running: RunningCommand) -> None:
    """CMD that is stopped is continued, so that it handles SIGTERM itself."""
    stop = "trap 'echo asked; exit' TERM; echo $$; kill -STOP $$"
    running.start("exec", "--", "sh", "-c", stop)
    running.change(1)
    stat = Path("/proc", running.read_line(), "stat")
    wait_until(lambda: stat.read_text().rpartition(") ")[2][0] == "T", "CMD is stopped")
    running.process.send_signal(signal.SIGTERM)
    assert running.read_line() == "asked"
    assert running.wait() == (killed_by(signal.SIGTERM), "")


def test_first_process_reaps_orphans(running: RunningCommand, runs: Runs) -> None:
    """What CMD leaves behind becomes no zombie, and CMD keeps its exit status."""
    prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    running.start("exec", "--", *runs.cmd, "parent", "{port}", prefix=prefix)
    for port in range(1, 6):
        running.change(port)
        for run in (runs.next(), runs.next()):
            run.finish(3)

    assert running.process.stderr is not None
    for port in range(1, 6):
        said = running.process.stderr.readline().decode()
        assert said == f"aioteredo: port {port}: {sys.executable!r} failed: exit status 3\n"

    (first_process,) = children(running.process.pid)
    wait_until(lambda: children(first_process) == [], "there are no zombies")
    assert running.process.poll() is None


def children(parent: int) -> list[int]:
    """Return the children of a process, with those that it has not reaped."""
    path = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(child) for child in path.read_text("ascii").split()]
