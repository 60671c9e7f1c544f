"""How ``exec`` ends CMD and its process group, and reaps orphans."""

from __future__ import annotations

import math
import os
import sys

import anyio
import anyio.to_thread
import pytest

if sys.platform == "win32":
    pytest.skip("Windows knows no group to end", allow_module_level=True)

from aioteredo._cli.process_group import Children
from aioteredo._cli.process_group import posix as process_group

from ..support.privileges import as_child_subreaper
from ..support.runs import CMD, Run, Runs
from ..support.waiting import wait_until
from .cmd_sources import PARENT_THAT_DOES_NOT_REAP, WITHOUT_ITS_FIRST_THREAD, run_as_cmd
from .exec_command import Follower
from .marks import command_loop, linux, posix


@posix
@command_loop
async def test_cancelled_follow_ends_cmd_and_its_children(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``follow()`` returns only after CMD and its children have ended."""
    monkeypatch.setenv("CMD", CMD)
    async with anyio.create_task_group() as group:
        follower = Follower(runs, group)
        processes = await follower.start_parent()
        group.cancel_scope.cancel()
    assert not any(run.is_running() for run in processes)


@posix
@command_loop
@pytest.mark.parametrize("options", [["stubborn"], ["parent", "stubborn"]], ids=len)
async def test_process_that_ignores_sigterm_is_killed(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """CMD or its child is killed if it ignores SIGTERM."""
    monkeypatch.setenv("CMD", CMD)
    monkeypatch.setattr(process_group, "GRACE", 0.05)
    monkeypatch.setattr(process_group, "_KILL_TIMEOUT", math.inf)
    async with anyio.create_task_group() as group:
        follower = Follower(runs, group)
        await follower.start(*runs.cmd, *options, "{port}")
        follower.client.set_port(1)
        processes = [await follower.next() for _ in options]
        group.cancel_scope.cancel()
    assert not any(run.is_running() for run in processes)


@posix
@command_loop
async def test_child_subreaper_reaps_the_orphans_of_cmd(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that adopts orphans reaps those of CMD when it ends CMD."""
    if sys.platform == "win32":
        raise NotImplementedError
    monkeypatch.setenv("CMD", CMD)
    monkeypatch.setattr(process_group, "GRACE", math.inf)
    with as_child_subreaper():
        async with anyio.create_task_group() as group:
            follower = Follower(runs, group)
            processes = await follower.start_parent()
            group.cancel_scope.cancel()

        for run in processes:
            with pytest.raises(ChildProcessError):
                os.waitpid(run.pid, os.WNOHANG)


@posix
@command_loop
async def test_child_that_ended_before_the_start_is_reaped() -> None:
    """A child that had ended before ``Children`` handles SIGCHLD is reaped, too."""
    if sys.platform != "linux":
        pytest.skip("needs Linux' PR_SET_CHILD_SUBREAPER")
    with as_child_subreaper():
        pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with Children(), pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


@linux
@command_loop
async def test_process_without_its_first_thread_is_killed(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/proc shows such a process as a zombie, but its other threads still run."""
    monkeypatch.setattr(process_group, "GRACE", 0.05)
    monkeypatch.setattr(process_group, "_KILL_TIMEOUT", math.inf)
    async with anyio.create_task_group() as group:
        follower = Follower(runs, group)
        await follower.start(*run_as_cmd(WITHOUT_ITS_FIRST_THREAD, runs))
        follower.client.set_port(1)
        run = await follower.next()
        group.cancel_scope.cancel()
    await anyio.to_thread.run_sync(run.wait_until_ended)


@posix
@command_loop
async def test_child_of_a_cmd_that_has_just_ended_is_left_alone(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If CMD has ended by itself, a cancellation does not end the children of CMD."""
    monkeypatch.setenv("CMD", CMD)
    async with anyio.create_task_group() as group:
        follower = Follower(runs, group)
        first, second = await follower.start_parent()
        leader, other = (first, second) if is_leader(first) else (second, first)
        leader.finish()

        # This wait blocks the event loop, so the loop has not yet handled SIGCHLD when the
        # task of follow() is cancelled.
        wait_until(lambda: not leader.is_running(), "the end of CMD")
        group.cancel_scope.cancel()
    assert other.is_running()
    other.finish()


def is_leader(run: Run) -> bool:
    """Return whether the process is CMD itself, which leads its process group."""
    if sys.platform == "win32":
        raise NotImplementedError
    return os.getpgid(run.pid) == run.pid


@linux
@command_loop
async def test_zombie_that_its_parent_never_reaps_is_not_waited_for(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``follow()`` returns although a zombie is left in the process group."""
    monkeypatch.setattr(process_group, "GRACE", math.inf)
    async with anyio.create_task_group() as group:
        follower = Follower(runs, group)
        await follower.start(*run_as_cmd(PARENT_THAT_DOES_NOT_REAP, runs))
        follower.client.set_port(1)
        parent = await follower.next()
        group.cancel_scope.cancel()
    assert parent.is_running()
    parent.finish()
