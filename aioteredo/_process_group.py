"""How the whole process group of CMD is ended: first by SIGTERM, and then by SIGKILL."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Final

import anyio

from ._children import Child

GRACE: Final = 5.0  # seconds from SIGTERM to SIGKILL
_KILLED: Final = 5.0  # seconds for what SIGKILL has ended to be gone
_POLL: Final = 0.01

if sys.platform == "win32":  # pragma: no cover - measured on Linux

    def may_not_end(_: Child) -> str | None:
        return None  # the handle of a child allows it

    async def end(child: Child) -> None:
        """End *child*: Windows knows no group that could be ended with it."""
        child.terminate()
        await child.wait()

else:

    def may_not_end(child: Child) -> str | None:
        """Why *child* may not be signalled, or None: it may."""
        with suppress(ProcessLookupError):  # it is reaped, and we are still to be told
            try:
                os.kill(child.pid, 0)
            except PermissionError as error:  # it has become another user, as sudo does
                return error.strerror
        return None

    async def end(child: Child) -> None:
        """End the group of *child*, which is not reaped yet; return when it has ended.

        What may not be signalled is waited for.
        """
        for number, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, _KILLED)):
            _signal_group(child, number)
            with anyio.move_on_after(seconds):
                await child.wait()
                while _others_are_left(child):  # noqa: ASYNC110 - and nothing tells
                    await anyio.sleep(_POLL)  # when they have ended
                return
        await child.wait()

    def _others_are_left(child: Child) -> bool:
        # looked at twice: what is forked behind the first look's back is in the second's
        return _signal_group(child, 0) and not (_is_dead(child.pid) and _is_dead(child.pid))

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

    def _signal_group(child: Child, number: int) -> bool:
        try:
            os.killpg(child.pid, number)
        except (ProcessLookupError, PermissionError):  # gone, or another user's by now
            return False
        return True
