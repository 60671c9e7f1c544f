"""The processes of a group that still live, and whether this user may signal them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

assert sys.platform != "win32"  # mypy checks this module for each platform.


def is_left(group: int) -> bool:
    """Return whether a process of *group* lives, as far as this process can see."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # Every process that is left belongs to another user.
        pass
    # Scan twice: the first scan can miss a process that is forked during it. The second
    # one finds that process, unless it forks again just then and ends.
    return _may_live(group) or _may_live(group)


def _may_live(group: int) -> bool:
    # Only /proc tells a zombie from a process that lives. A signal reaches both, and a
    # zombie stays if its parent never reaps it.
    members = _members(group)
    return not members or any(members.values())


def find_refusal(group: int) -> tuple[int, str] | None:
    """Find a living process of *group* that this user may not signal, and the reason."""
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
    except PermissionError as error:  # As with sudo, the process is another user's.
        return error.strerror
    except ProcessLookupError:
        pass
    return None


def _members(group: int) -> dict[int, bool]:
    """Return the processes of *group* that /proc shows, and whether each one lives.

    An empty result does not prove that the group is gone: there may be no /proc, it may
    belong to another PID namespace, and it may hide the processes of other users.
    """
    members: dict[int, bool] = {}
    with suppress(OSError):
        # In the /proc of another PID namespace, the same number is another process.
        if os.readlink("/proc/self") != str(os.getpid()):
            return members

        for name in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                # The name of the process may contain spaces and parentheses, so parse the
                # fields after its last parenthesis.
                state, _, its_group, *rest = stat.read().rpartition(b") ")[2].split()
                if int(its_group) == group:
                    # A process whose first thread has ended shows as a zombie, although its
                    # other threads go on.
                    has_threads = int(rest[14]) > 1
                    members[int(name)] = state not in (b"Z", b"X") or has_threads
    return members
