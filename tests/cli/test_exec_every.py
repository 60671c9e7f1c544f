"""``exec --every``: CMD runs again without a change."""

from __future__ import annotations

import re
import time

import anyio
import anyio.to_thread

from ..support.running import RunningCommand
from ..support.runs import Runs
from .exec_command import Follower, skip_where_no_process_starts, start_exec
from .marks import command_loop, each_on_busy


@each_on_busy
def test_cmd_runs_again_with_the_same_port(
    running: RunningCommand, runs: Runs, on_busy: str
) -> None:
    """After the time of ``--every``, CMD runs again for the port of its last run."""
    start_exec(running, runs, "--every=0.01", "--on-busy", on_busy)
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


@command_loop
async def test_time_until_the_next_run_begins_when_a_run_ends(runs: Runs) -> None:
    """Runs that take longer than the time of ``--every`` do not pile up."""
    skip_where_no_process_starts()
    async with anyio.create_task_group() as group:
        follower = Follower(runs, group, on_busy="queue", every=0.01, count=2)
        await follower.start(*runs.cmd, "{port}")
        follower.client.set_port(1)
        first = await follower.next()
        await anyio.sleep(0.1)  # ten times as long as the time of --every
        first.finish()
        (await follower.next()).finish()
    assert follower.status == 0


def test_cmd_does_not_run_again_while_there_is_no_port(
    running: RunningCommand, runs: Runs
) -> None:
    """The time of ``--every`` passes, but CMD runs first when there is a port."""
    start_exec(running, runs, "--initial", "--every=0.01", "--verbose", "--count=1")
    time.sleep(0.1)  # ten times as long as the time of --every
    running.change(1)
    runs.next().finish()
    status, error = running.wait()
    assert status == 0
    assert re.fullmatch(r"aioteredo: port 1: exit status 0 \(.* s\)\n", error)


def test_cmd_runs_again_for_the_text_of_no_port(
    running: RunningCommand, runs: Runs
) -> None:
    """With ``--no-port``, CMD runs again with the text in the place of the port."""
    start_exec(running, runs, "--initial", "--every=0.01", "--no-port=none")
    runs.next().finish()
    again = runs.next()
    assert (again.port, again.previous) == ("none", "none")
