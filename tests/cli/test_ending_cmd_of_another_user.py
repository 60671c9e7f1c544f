"""How ``exec`` ends CMD that has become another user, which it may not signal."""

from __future__ import annotations

import contextlib
import ctypes.util
import os
import re
import signal
import sys

import anyio
import anyio.to_thread
import pytest

from aioteredo._cli.process_group import posix as process_group

from ..support.command import (
    killed_by,
)
from ..support.privileges import (
    without_cap_kill,
)
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import eventually, wait_until
from .cmd_sources import (
    MEMBER_OF_ANOTHER_USER,
)
from .exec_command import Follower
from .marks import command_loop, linux, posix


@command_loop
async def test_restart_waits_for_a_cmd_of_another_user(
    runs: Runs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CMD that may not be signalled is reported once, and the next run waits for it."""
    for name in ("GRACE", "_KILLED"):
        monkeypatch.setattr(process_group, name, 0.0)  # it may take any time
    with without_cap_kill():
        async with anyio.create_task_group() as group:
            follower = Follower(runs, group, on_busy="restart")
            await follower.start(*runs.cmd, "another-user", "{port}")
            follower.client.set_port(1)
            first = await follower.next()
            follower.client.set_port(2)
            said = ""

            def has_said() -> bool:
                nonlocal said
                said = capsys.readouterr().err
                return bool(said)

            await eventually(has_said, "a line on the error output")
            assert first.is_running()
            first.finish()
            second = await follower.next()
            second.finish()
            group.cancel_scope.cancel()
    assert (first.argument, second.argument) == ("1", "2")
    refused = "Operation not permitted; waiting for it"
    name = f"{sys.executable!r} (pid {first.pid})"
    assert said == f"aioteredo: cannot end {name}: {refused}\n"


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
    for name in ("GRACE", "_KILLED", "_POLL_REFUSED"):
        monkeypatch.setattr(process_group, name, 0.0)  # it may take any time
    if not proc:
        monkeypatch.setattr(process_group, "_members", lambda _: {})
    looks = 0
    find_refusal = process_group._find_refusal

    def look(group: int) -> tuple[int, str] | None:
        nonlocal looks
        looks += 1
        return find_refusal(group)

    monkeypatch.setattr(process_group, "_find_refusal", look)
    with without_cap_kill():
        async with anyio.create_task_group() as group:
            follower = Follower(runs, group)
            code = MEMBER_OF_ANOTHER_USER
            await follower.start(sys.executable, "-ISc", code, runs.cmd[-1])
            follower.client.set_port(1)
            member = await follower.next()
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                # Looks go on after the time limits, because the member is waited for.
                await eventually(lambda: looks > 10, "many looks at the group")
            assert member.is_running()
            member.finish()
    assert not member.is_running()
    refused = r"Operation not permitted; waiting for it\n"
    name = rf"{sys.executable!r} \(pid \d+\)"
    said = capsys.readouterr().err
    assert re.fullmatch(f"aioteredo: cannot end {name}: {refused}", said)


@linux
def test_second_signal_ends_the_report_to_a_full_stderr(
    running: RunningCommand, runs: Runs
) -> None:
    """A second signal ends the wait for a full stderr, and ``exec`` still waits for CMD."""
    if sys.platform == "win32":
        raise NotImplementedError
    from ..support.seccomp import on_a_thread

    if os.geteuid() != 0:
        pytest.skip("only root can start another user's process")
    prctl, drop_from_bounding_set, cap_kill = ctypes.CDLL(None).prctl, 24, 5
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb") as stderr:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writing, b"full"):
                pass
        os.set_blocking(writing, True)

        def start() -> None:  # on a thread, for what it drops is gone for good
            assert prctl(drop_from_bounding_set, cap_kill, 0, 0, 0) == 0
            cmd = [*runs.cmd, "another-user", "{port}"]
            running.start("exec", "--", *cmd, stderr=stderr)

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
