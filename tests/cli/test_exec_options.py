"""``aioteredo exec``: when it ends by itself, runs again, and what it reports."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path

import anyio
import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.command import Running, Runs, death, environment, run
from .test_exec import Following, its_loop, posix, skip_where_no_process_starts

ON_BUSY = pytest.mark.parametrize("on_busy", ["latest", "queue", "restart"])
PYTHON = repr(sys.executable)


def start(running: Running, runs: Runs, *options: str) -> None:
    running.start("exec", *options, "--", *runs.cmd, "{port}")


# --count


@ON_BUSY
def test_ends_after_the_count_of_runs(running: Running, runs: Runs, on_busy: str) -> None:
    """The last run ends by itself, and then the command exits with 0."""
    start(running, runs, "-n2", "--every=0.01", "--on-busy", on_busy)
    running.change(1)
    runs.next().finish()
    runs.next().finish()
    assert running.wait() == (0, "")


def test_run_that_restart_ends_is_not_counted(running: Running, runs: Runs) -> None:
    """With ``--count 1`` one run has ended by itself, for the newest port."""
    start(running, runs, "--count=1", "--on-busy=restart")
    running.change(1)
    first = runs.next()
    running.change(2)
    first.wait_until_gone()
    second = runs.next()
    assert second.port == "2"
    second.finish()
    assert running.wait() == (0, "")


def test_change_without_a_run_is_not_counted(running: Running, runs: Runs) -> None:
    """A port that goes is no run without ``--no-port``."""
    start(running, runs, "--initial", "--count=1")
    running.change(1)
    runs.next().finish()
    assert running.wait() == (0, "")


def test_failed_run_is_counted(running: Running, runs: Runs) -> None:
    """A CMD that fails each time does not run without end."""
    start(running, runs, "--count=1")
    running.change(1)
    runs.next().finish(3)
    failed = f"aioteredo: port 1: {PYTHON} failed: exit status 3\n"
    assert running.wait() == (0, failed)


def test_fail_fast_wins_over_the_count(running: Running, runs: Runs) -> None:
    """The last run has failed, so the exit status is 1."""
    start(running, runs, "--count=1", "--fail-fast")
    running.change(1)
    runs.next().finish(3)
    assert running.wait()[0] == 1


# --timeout


@ON_BUSY
def test_ends_after_the_time(on_busy: str) -> None:
    """Without any change it exits with 0 all the same."""
    options = ["--backend=simulated", "--timeout=0.1", "--on-busy", on_busy]
    done = run("exec", *options, "--", sys.executable)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("on_busy", ["latest", "restart"])
def test_time_ends_cmd(running: Running, runs: Runs, on_busy: str) -> None:
    """CMD that runs then is ended like by a signal, but the exit status is 0."""
    start(running, runs, "--timeout=3", "--on-busy", on_busy)
    running.change(1)
    one = runs.next()
    assert running.wait() == (0, "")
    assert not one.is_there()


# --every


@ON_BUSY
def test_runs_again_with_the_same_port(running: Running, runs: Runs, on_busy: str) -> None:
    """After a time without a run, there is one without a change."""
    start(running, runs, "--every=0.01", "--on-busy", on_busy)
    running.change(1)
    runs.next().finish()
    second = runs.next()
    assert (second.port, second.previous) == ("1", "1")
    running.change(2)
    if on_busy != "restart":
        second.finish()
    third = runs.next()
    assert (third.port, third.previous) == ("2", "1")
    third.finish()
    assert runs.next().port == "2"


@its_loop
async def test_time_to_run_again_begins_when_a_run_has_ended(runs: Runs) -> None:
    """However long CMD runs, its runs do not pile up."""
    skip_where_no_process_starts()
    async with anyio.create_task_group() as group:
        following = Following(runs, group, on_busy="queue", every=0.01, count=2)
        await following.start(*runs.cmd, "{port}")
        following.client.set_port(1)
        first = await following.next()
        await anyio.sleep(0.1)  # ten times as long as it is to wait
        first.finish()
        (await following.next()).finish()
    assert following.status == 0


def test_no_run_again_while_there_is_no_port(running: Running, runs: Runs) -> None:
    """The time passes without a port: the first run is for the first port."""
    start(running, runs, "--initial", "--every=0.01", "--verbose", "--count=1")
    time.sleep(0.1)  # ten times as long as it waits to run again
    running.change(1)
    runs.next().finish()
    status, error = running.wait()
    assert status == 0
    assert re.fullmatch(r"aioteredo: port 1: exit status 0 \(.* s\)\n", error)


def test_runs_again_for_no_port(running: Running, runs: Runs) -> None:
    """With ``--no-port``, its text stands for the port in each of the runs."""
    start(running, runs, "--initial", "--every=0.01", "--no-port=none")
    runs.next().finish()
    again = runs.next()
    assert (again.port, again.previous) == ("none", "none")


@its_loop
async def test_dropped_changes_are_reported_once(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that is repeated does not repeat the report of what was dropped."""
    skip_where_no_process_starts()
    monkeypatch.setattr("aioteredo._cli.exec.QUEUE_SIZE", 1)
    async with anyio.create_task_group() as group:
        following = Following(runs, group, on_busy="queue", every=0.01, count=3)
        await following.start(*runs.cmd, "{port}")
        following.client.set_port(1)
        first = await following.next()
        following.client.burst([2, 3, 4])
        first.finish()
        for _ in range(2):
            one = await following.next()
            assert one.port == "4"
            one.finish()
    dropped = "aioteredo: 2 changes dropped: more than 1 waited\n"
    assert capsys.readouterr().err == dropped


# --verbose


def test_each_run_is_reported(running: Running, runs: Runs) -> None:
    """A line has the port, the exit status and the seconds, once for each run."""
    start(running, runs, "-v", "--no-port=none", "--count=3")
    for port, status in ((1, 0), (None, 0), (2, 3)):
        running.change(port)
        one = runs.next()
        one.finish(status)
        one.wait_until_gone()
    status, error = running.wait()
    assert status == 0
    assert re.sub(r"\d+\.\d{3} s", "N s", error).splitlines() == [
        "aioteredo: port 1: exit status 0 (N s)",
        "aioteredo: no port: exit status 0 (N s)",
        f"aioteredo: port 2: {PYTHON} failed: exit status 3 (N s)",
    ]


def test_interrupted_run_is_reported(running: Running, runs: Runs) -> None:
    """``restart`` has ended it before it had an exit status."""
    start(running, runs, "--verbose", "--on-busy=restart", "--count=1")
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


def test_failure_without_a_port_names_that(running: Running, runs: Runs) -> None:
    """What stands for the port may be empty, so it is not shown."""
    start(running, runs, "--initial", "--no-port=", "--fail-fast")
    runs.next().finish(3)
    failed = f"aioteredo: no port: {PYTHON} failed: exit status 3\n"
    assert running.wait() == (1, failed)


@posix
def test_signal_is_not_reported(running: Running, runs: Runs) -> None:
    """A run that a signal has ended needs no line, even with ``--verbose``."""
    start(running, runs, "--verbose")
    running.change(1)
    runs.next()
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == (death(signal.SIGTERM), "")


# whether CMD can be found


def test_cmd_that_is_not_there() -> None:
    """It is said at once, and not at the first change, which may be days away."""
    done = run("exec", "--backend=simulated", "--", "no-such-command")
    said = "aioteredo: cannot run 'no-such-command': it is not found\n"
    assert (done.returncode, done.stdout, done.stderr) == (127, "", said)


@posix
@pytest.mark.parametrize("name", ["plain-file", "directory"])
@pytest.mark.parametrize("by_path", [True, False])
def test_cmd_that_is_not_executable(tmp_path: Path, name: str, by_path: bool) -> None:
    """A shell says the same; a directory in PATH's directories is not a command."""
    (tmp_path / "plain-file").touch(0o666)
    (tmp_path / "directory").mkdir()
    cmd = str(tmp_path / name) if by_path else name
    env = environment(PATH=os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    done = run("exec", "--backend=simulated", "--", cmd, env=env)
    if name == "directory" and not by_path:
        assert done.returncode == 127
    else:
        said = f"aioteredo: cannot run {cmd!r}: it is not executable\n"
        assert (done.returncode, done.stderr) == (126, said)


@posix
def test_cmd_is_looked_for_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So it is when the function is called."""
    (tmp_path / "plain-file").touch(0o666)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["exec", "--", "plain-file"]) == 126
    assert main(["exec", "--", "no-such-command"]) == 127
    assert capsys.readouterr().err.splitlines() == [
        "aioteredo: cannot run 'plain-file': it is not executable",
        "aioteredo: cannot run 'no-such-command': it is not found",
    ]


def test_runs_are_reported_in_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    """A run takes a line, however it ends."""
    cmd = [sys.executable, "-ISc", "raise SystemExit({port} == 6)"]
    for port in (5, 6):
        with use_backend(SimulatedBackend(port)):
            assert main(["exec", "--initial", "--verbose", "-n1", "--", *cmd]) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("aioteredo: port 5: exit status 0 (")
    assert second.startswith(f"aioteredo: port 6: {PYTHON} failed: exit status 1 (")


@posix
def test_cmd_is_called_as_it_was_given(running: Running, tmp_path: Path) -> None:
    """A program that does what its name says still finds that name."""
    script = tmp_path / "named"
    script.symlink_to("/bin/sh")
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    cmd = ["named", "-c", 'echo "$0"; tr "\\0" " " </proc/$$/cmdline']
    if sys.platform != "linux":
        cmd = ["named", "-c", "echo; echo named"]
    running.start("exec", "--count=1", "--", *cmd, env={"PATH": path})
    running.post("change", 1, 1)  # it may end before it could answer
    assert running.line() == "named"
    assert running.line().startswith("named")
    assert running.wait() == (0, "")


@pytest.mark.skipif(sys.platform != "win32", reason="PATHEXT is Windows'")
def test_cmd_is_found_by_pathext(running: Running, tmp_path: Path) -> None:
    """A batch file is found without its extension, as cmd.exe does it."""
    (tmp_path / "mapper.cmd").write_text("@echo %1\r\n")
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    running.start("exec", "--count=1", "--", "mapper", "port-{port}", env={"PATH": path})
    running.post("change", 1, 1)
    assert running.line() == "port-1"
