"""``exec --on-busy``: changes of the port while CMD runs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from aioteredo import BackendError
from aioteredo._cli import exec as exec_module

from ..support.command import killed_by
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import limit
from .exec_command import PYTHON, Follower, skip_where_no_process_starts
from .marks import command_loop, posix


def test_restart_ends_cmd_when_the_port_goes_away(
    running: RunningCommand, runs: Runs
) -> None:
    """``restart`` ends CMD even if there is no port to run CMD for."""
    running.start("exec", "--on-busy", "restart", "--", *runs.cmd, "{port}")
    running.change(1)
    run = runs.next()
    running.change(None)
    run.wait_until_ended()


def test_queue_runs_cmd_for_each_change_in_order(
    running: RunningCommand, runs: Runs
) -> None:
    """``queue`` runs CMD once for each change, one run after the other."""
    running.start("exec", "--on-busy", "queue", "--", *runs.cmd, "{port}")
    running.change(1)
    first = runs.next()
    running.change(2, 20)
    first.finish()
    for port in range(2, 21):
        run = runs.next()
        assert (run.port, run.previous) == (str(port), str(port - 1))
        run.finish()


def test_latest_runs_once_for_the_newest_of_a_thousand_changes(
    running: RunningCommand, runs: Runs
) -> None:
    """By default CMD finishes, and then runs once for the newest port."""
    running.start("exec", "--", *runs.cmd, "{port}")
    running.change(1)
    first = runs.next()
    running.change(2, 1000)
    first.finish()
    run = runs.next()
    assert (run.port, run.previous) == ("1000", "1")
    run.finish()

    # The next run is for this change, so no other run was waiting.
    running.change(2000)
    assert runs.next().port == "2000"


def test_restart_runs_last_for_the_newest_of_a_thousand_changes(
    running: RunningCommand, runs: Runs
) -> None:
    """``restart`` ends CMD, and the last run has the newest port."""
    running.start("exec", "--on-busy", "restart", "--", *runs.cmd, "{port}")
    running.change(1)
    first = runs.next()
    running.change(2, 1000)
    first.wait_until_ended()

    ports = [1]
    while ports[-1] != 1000:
        run = runs.next()
        ports.append(int(run.port))
    assert ports == sorted(set(ports))

    running.change(2000)
    run.wait_until_ended()
    assert runs.next().port == "2000"


@posix
@pytest.mark.timeout(300)
@pytest.mark.parametrize("last", [1000, 3000])
def test_queue_keeps_1024_changes_and_counts_the_others(
    running: RunningCommand, tmp_path: Path, last: int
) -> None:
    """``queue`` runs CMD for the newest 1,024 changes, and reports how many are lost."""
    if sys.platform == "win32":
        raise NotImplementedError
    running.times = 5  # A thousand runs may need more than one limit.

    # The first run waits until the test writes to the fifo. Each other run prints its port.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    cmd = f"[ $TEREDO_PORT != 1 ] || {{ echo 1; read x <{fifo}; exit; }}; echo {{port}}"
    running.start("exec", "--on-busy", "queue", "--", "sh", "-c", cmd)
    running.change(1)
    assert running.read_line() == "1"
    running.change(2, last)

    fifo.write_text("go on\n")
    for port in range(max(2, last - 1023), last + 1):
        assert running.read_line() == str(port)

    running.process.send_signal(signal.SIGTERM)
    dropped = last - 1 - 1024
    lost = f"aioteredo: {dropped} changes dropped: more than 1024 waited\n"
    assert running.wait() == (killed_by(signal.SIGTERM), lost if dropped > 0 else "")


@command_loop
@pytest.mark.parametrize(
    ("ports", "lost"), [([2, 3, 4, None, 5], "2 changes"), ([3, 4, None, 5], "1 change")]
)
async def test_queue_that_is_full_drops_the_oldest_changes(
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ports: list[int | None],
    lost: str,
) -> None:
    """A full queue reports how many changes it dropped, and keeps the newest."""
    skip_where_no_process_starts()
    monkeypatch.setattr(exec_module, "QUEUE_SIZE", 3)
    async with anyio.create_task_group() as group:
        follower = Follower(runs, group)
        await follower.start(*runs.cmd, "{port}")
        follower.client.set_port(1)
        first = await follower.next()
        follower.client.burst(ports)
        first.finish()

        second = await follower.next()
        second.finish(3)
        third = await follower.next()
        assert (second.port, third.port) == ("4", "5")
        group.cancel_scope.cancel()

    dropped, failed = capsys.readouterr().err.splitlines()
    assert dropped == f"aioteredo: {lost} dropped: more than 3 waited"
    assert failed == f"aioteredo: port 4: {PYTHON} failed: exit status 3"


@command_loop
async def test_dropped_changes_are_reported_once(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that ``--every`` repeats does not repeat the report of dropped changes."""
    skip_where_no_process_starts()
    monkeypatch.setattr(exec_module, "QUEUE_SIZE", 1)
    async with anyio.create_task_group() as group:
        follower = Follower(runs, group, on_busy="queue", every=0.01, count=3)
        await follower.start(*runs.cmd, "{port}")
        follower.client.set_port(1)
        first = await follower.next()
        follower.client.burst([2, 3, 4])
        first.finish()
        for _ in range(2):
            run = await follower.next()
            assert run.port == "4"
            run.finish()

    dropped = "aioteredo: 2 changes dropped: more than 1 waited\n"
    assert capsys.readouterr().err == dropped


@posix
@command_loop
async def test_restart_skips_changes_that_come_while_cmd_is_ending(runs: Runs) -> None:
    """The next run has the newest port, not one that came while CMD was ending."""
    async with anyio.create_task_group() as group:
        follower = Follower(runs, group, on_busy="restart")
        await follower.start(*runs.cmd, "stubborn", "{port}")
        follower.client.set_port(1)
        first = await follower.next()

        for port in (2, 3, 4):
            follower.client.set_port(port)
            await follower.client.wait_until_drained(limit())
        first.finish()

        second = await follower.next()
        assert (second.port, second.previous) == ("4", "1")
        second.finish()
        group.cancel_scope.cancel()


@command_loop
async def test_restart_ends_cmd_when_the_backend_fails(runs: Runs) -> None:
    """The error of the backend ends CMD, and is raised unchanged."""
    skip_where_no_process_starts()
    with pytest.RaisesGroup(pytest.RaisesExc(BackendError, match="GetTeredoPort")):
        async with anyio.create_task_group() as group:
            follower = Follower(runs, group, on_busy="restart", no_value="none")
            await follower.start(*runs.cmd, "{port}")
            follower.client.set_port(1)
            first = await follower.next()
            follower.client.set_port(None)
            second = await follower.next()
            follower.client.fail(BackendError("GetTeredoPort", 31))
    assert not first.is_running()
    assert not second.is_running()
    assert second.port == "none"
