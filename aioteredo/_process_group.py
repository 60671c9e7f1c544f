"""How the whole process group of CMD is ended: first by SIGTERM, and then by SIGKILL."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import anyio

from ._children import Child

GRACE: Final = 5.0  # seconds from SIGTERM to SIGKILL
_KILLED: Final = 5.0  # seconds for a process to be gone after SIGKILL
_POLL: Final = 0.01
_POLL_REFUSED: Final = 0.25  # a scan of /proc costs, and such a process may run for hours

if sys.platform == "win32":  # pragma: no cover - measured on Linux

    async def end(child: Child, refused: Callable[[int, str], None]) -> None:  # noqa: ARG001
        """End *child*: Windows knows no group that could be ended with it."""
        child.terminate()
        await child.wait()

else:

    async def end(child: Child, refused: Callable[[int, str], None]) -> None:
        """End the group of *child*, which has not ended yet; return when the group is gone.

        A process that we may not signal is waited for without a limit.

        :param refused: called once if there is such a process, with its number and the
            reason
        """
        group = child.pid
        told = False

        def tell() -> None:
            nonlocal told
            if not told and (refusal := _find_refusal(group)):
                told = True
                refused(*refusal)

        for number, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, _KILLED)):
            _signal(group, number)
            # A stopped process handles SIGTERM only after it has been continued.
            _signal(group, signal.SIGCONT)
            tell()

            with anyio.move_on_after(seconds):
                await child.wait()
                # Without /proc, a refusal shows only when nobody else is left.
                tell()
                while _is_left(group):  # noqa: ASYNC110 - nothing announces their end
                    await anyio.sleep(_POLL)
                return

        await child.wait()
        tell()
        while _find_refusal(group):  # noqa: ASYNC110 - nothing announces the end
            await anyio.sleep(_POLL_REFUSED)

    def _signal(group: int, number: int) -> None:
        # The system refuses only if it refuses for each process of the group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)

    def _is_left(group: int) -> bool:
        """Return whether a process of *group* lives, or may live."""
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # every process that is left belongs to another user
            pass
        # Scan twice: the first scan can miss a process that is forked during it.
        return _may_live(group) or _may_live(group)

    def _may_live(group: int) -> bool:
        # Signals also reach zombies, which their parents may never reap. /proc tells a
        # zombie from a process that lives.
        members = _members(group)
        return not members or any(members.values())

    def _find_refusal(group: int) -> tuple[int, str] | None:
        """Find a living process of *group* that we may not signal, and the reason."""
        members = _members(group)
        for pid, lives in members.items():
            if lives and (reason := _refusal(os.kill, pid)):
                return pid, reason
        if not members and (reason := _refusal(os.killpg, group)):
            return group, reason
        return None

    def _refusal(kill: Callable[[int, int], None], number: int) -> str | None:
        try:
            kill(number, 0)
        except PermissionError as error:  # sudo makes a process another user's
            return error.strerror
        except ProcessLookupError:
            pass
        return None

    def _members(group: int) -> dict[int, bool]:
        """Return the processes of *group* that /proc shows, and whether each one lives.

        The result is empty if /proc shows none, which proves nothing: there may be no
        /proc, it may belong to another PID namespace, and it may hide other users.
        """
        members: dict[int, bool] = {}
        with suppress(OSError):
            # The numbers of another PID namespace are other processes here.
            is_ours = os.readlink("/proc/self") == str(os.getpid())
            for name in filter(str.isdigit, os.listdir("/proc") if is_ours else ()):
                with suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                    state, _, its_group, *rest = stat.read().rpartition(b") ")[2].split()
                    if int(its_group) == group:
                        # A process whose first thread has ended shows as a zombie,
                        # although its other threads go on.
                        others_go_on = int(rest[14]) > 1
                        members[int(name)] = state not in (b"Z", b"X") or others_go_on
        return members
