"""A process group that a child has for itself, and how all of it is ended.

A child in a session, and so a group, of its own gets no Ctrl-C of the terminal's by
itself, and cannot stop while reading the terminal. All of the group is asked to end, and
is killed if it doesn't.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any, Final

import anyio
from anyio.abc import Process

GRACE: Final = 5.0  # seconds from SIGTERM to SIGKILL
_KILLED: Final = 5.0  # seconds for what SIGKILL has ended to be gone
_POLL: Final = 0.01

# for anyio.open_process
OPTIONS: dict[str, Any]

if sys.platform == "win32":  # pragma: no cover - measured on Linux
    # which also keeps a console's Ctrl-C from it
    OPTIONS = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}

    def leader_has_ended(process: Process) -> bool:
        return process.returncode is not None

    def may_not_end(_: Process) -> str | None:
        return None  # the handle of a child allows it

    async def end(process: Process) -> None:
        with suppress(ProcessLookupError):
            process.terminate()  # at once: nothing there asks a process to end
        await process.wait()

else:
    OPTIONS = {"start_new_session": True}

    def leader_has_ended(process: Process) -> bool:
        """Whether *process* has ended by itself, also if we are still to be told.

        It may be reaped already, and its number another's.
        """
        if sys.platform == "darwin":  # pragma: no cover - Python 3.13's first has waitid
            return process.returncode is not None
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, process.pid, options) is not None
        except ChildProcessError:
            return True

    def may_not_end(process: Process) -> str | None:
        """Why *process* may not be signalled, or None: it may."""
        with suppress(ProcessLookupError):  # it is reaped, and we are still to be told
            try:
                os.kill(process.pid, 0)
            except PermissionError as error:  # it has become another user, as sudo does
                return error.strerror
        return None

    async def end(process: Process) -> None:
        """End the group of *process*, which is not reaped yet; return when it has ended.

        What may not be signalled is waited for.
        """
        for number, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, _KILLED)):
            _signal_group(process, number)
            with anyio.move_on_after(seconds):
                await process.wait()
                while _others_are_left(process):  # noqa: ASYNC110 - and nothing tells
                    await anyio.sleep(_POLL)  # when they have ended
                return
        await process.wait()

    def _others_are_left(process: Process) -> bool:
        # looked at twice: what is forked behind the first look's back is in the second's
        left = _signal_group(process, 0) and not (
            _is_dead(process.pid) and _is_dead(process.pid)
        )
        # Those that we inherit are ours to reap: the first process of a container does.
        # After the look, for what has ended just before it.
        with suppress(ChildProcessError):
            while os.waitpid(-process.pid, os.WNOHANG) != (0, 0):
                pass
        return left

    def _is_dead(group: int) -> bool:
        # What is dead and not reaped yet takes signals still. The first process of a
        # container may never reap what it inherits. Where there is no /proc it is unknown.
        return os.path.exists("/proc/self/stat") and not any(
            _lives_in(group, name) for name in os.listdir("/proc") if name.isdigit()
        )

    def _lives_in(group: int, name: str) -> bool:
        state, its_group, threads = b"X", b"0", b"0"  # of what has gone meanwhile
        with suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
            state, _, its_group, *rest = stat.read().rpartition(b") ")[2].split()
            threads = rest[14]
        # one whose first thread has ended is a zombie, while others go on
        dead = state in (b"Z", b"X") and int(threads) < 2
        return int(its_group) == group and not dead

    def _signal_group(process: Process, number: int) -> bool:
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):  # gone, or another user's by now
            return False
        return True
