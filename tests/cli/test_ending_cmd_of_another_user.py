"""How ``exec`` ends CMD that has become another user, which it may not signal."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys

import anyio
import anyio.to_thread
import pytest

if sys.platform == "win32":
    pytest.skip("Windows knows no group to end", allow_module_level=True)

from aioteredo._cli.process_group import group as group_module
from aioteredo._cli.process_group import posix as process_group

from ..support.command import killed_by
from ..support.privileges import drop_cap_kill_for_good, without_cap_kill
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import eventually, wait_until
from .cmd_sources import MEMBER_OF_ANOTHER_USER, run_as_cmd
from .exec_command import Follower
from .marks import command_loop, linux, posix


@command_loop
async def test_restart_waits_for_a_cmd_of_another_user(
    runs: Runs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CMD that may not be signalled is reported once, and the next run waits for it."""
    # exec gives up its limits at once, and then waits for the process without a limit.
    for name in ("GRACE", "_KILL_TIMEOUT"):
        monkeypatch.setattr(process_group, name, 0.0)

    with without_cap_kill():
        async with anyio.create_task_group() as group:
            follower = Follower(runs, group, on_busy="restart")
            await follower.start(*runs.cmd, "another-user", "{port}")
            follower.client.set_port(1)
            first = await follower.next()
            follower.client.set_port(2)

            report = ""

            def has_reported() -> bool:
                nonlocal report
                report = capsys.readouterr().err
                return bool(report)

            await eventually(has_reported, "a line on the error output")
            assert first.is_running()
            first.finish()
            second = await follower.next()
            second.finish()
            group.cancel_scope.cancel()

    assert (first.argument, second.argument) == ("1", "2")
    refused = "Operation not permitted; waiting for it"
    name = f"{sys.executable!r} (pid {first.pid})"
    assert report == f"aioteredo: cannot end {name}: {refused}\n"


@posix
@command_loop
@pytest.mark.parametrize("proc", [True, False], ids=["proc", "no-proc"])
async def test_cancelled_exec_waits_for_a_child_of_another_user(
    runs: Runs,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    proc: bool,
) -> None:
    """A child of CMD that may not be signalled is waited for, with or without /proc."""
    if sys.platform == "win32":
        raise NotImplementedError
    # exec gives up its limits at once, and then waits for the process without a limit.
    for name in ("GRACE", "_KILL_TIMEOUT", "_POLL_REFUSED"):
        monkeypatch.setattr(process_group, name, 0.0)
    if not proc:
        monkeypatch.setattr("os.readlink", lambda _: "the /proc of another namespace")

    scans = 0
    find_refusal = group_module.find_refusal

    def count_scan(group: int) -> tuple[int, str] | None:
        nonlocal scans
        scans += 1
        return find_refusal(group)

    monkeypatch.setattr(process_group, "find_refusal", count_scan)
    with without_cap_kill():
        async with anyio.create_task_group() as group:
            follower = Follower(runs, group)
            await follower.start(*run_as_cmd(MEMBER_OF_ANOTHER_USER, runs))
            follower.client.set_port(1)
            child = await follower.next()
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                # More scans than before the limits show that exec waits for the child.
                await eventually(lambda: scans > 10, "many scans of the group")
            assert child.is_running()
            child.finish()

    assert not child.is_running()
    refused = r"Operation not permitted; waiting for it\n"
    name = rf"{sys.executable!r} \(pid \d+\)"
    report = capsys.readouterr().err
    assert re.fullmatch(f"aioteredo: cannot end {name}: {refused}", report)


@linux
def test_exec_ends_under_many_signals_although_stderr_is_full(
    running: RunningCommand, runs: Runs
) -> None:
    """``exec`` waits for CMD, and neither the report nor a warning of Python stalls it."""
    if sys.platform == "win32":
        raise NotImplementedError
    from ..support.seccomp import on_a_thread

    if os.geteuid() != 0:
        pytest.skip("only root can start another user's process")

    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb") as stderr:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writing, b"full"):
                pass
        os.set_blocking(writing, True)

        def start() -> None:
            drop_cap_kill_for_good()
            cmd = [*runs.cmd, "another-user", "{port}"]
            running.start("exec", "--", *cmd, stderr=stderr)

        # The thread of the tests must keep the capability, so another thread starts exec.
        on_a_thread(start)
        running.change(1)
        run = runs.next()
        running.process.send_signal(signal.SIGTERM)
        assert run.is_running()
        run.finish()

        def has_ended() -> bool:
            running.process.send_signal(signal.SIGTERM)
            return running.process.poll() is not None

        wait_until(has_ended, "the end of the command")
        assert running.process.returncode == killed_by(signal.SIGTERM)
