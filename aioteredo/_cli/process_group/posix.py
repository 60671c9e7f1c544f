"""CMD on POSIX, and how its whole process group is ended: first by SIGTERM, then SIGKILL.

asyncio forks a child first, and then asks the system for a thread or a descriptor to wait
with. If the system refuses, the child runs and nobody waits for it. SIGCHLD needs neither.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Self

import anyio

assert sys.platform != "win32"  # for mypy, which reads this module on each platform

GRACE: Final = 5.0  # seconds from SIGTERM to SIGKILL
_KILLED: Final = 5.0  # seconds for a process to be gone after SIGKILL
_POLL: Final = 0.01
_POLL_REFUSED: Final = 0.25  # a scan of /proc costs, and such a process may run for hours


class Child:
    """A process in a session, and so in a process group, of its own.

    It gets no Ctrl-C of the terminal, and does not stop when it reads the terminal.
    """

    def __init__(self, process: subprocess.Popen[bytes], children: Children) -> None:
        self._process = process
        self._children = children
        self.pid = process.pid

    def has_ended(self) -> bool:
        """Return whether the process has ended, and reap it if it has."""
        return self._process.poll() is not None

    async def wait(self) -> int:
        """Wait for the end of the process.

        :return: its exit status, or minus the number of the signal that killed it
        """
        while (status := self._process.poll()) is None:
            await self._children.changed.wait()
        return status


class Children:
    """Starts one child after the other, and reaps them when SIGCHLD comes.

    Works in the main thread's asyncio loop. Also reaps the orphans that the kernel
    gives to the first process of a container and to a child subreaper, which would
    stay zombies.
    """

    changed: anyio.Event  # set by the next SIGCHLD

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._adopts_orphans = _adopts_orphans()
        self.changed = anyio.Event()

        # A handler also replaces the SIG_IGN that a parent may have left behind, with
        # which the kernel would drop the exit status of CMD. CMD gets the default.
        #
        # The loop's own handler gives the loop its wake-up descriptor, without which
        # a SIGCHLD just before the loop sleeps is handled only after the sleep. But
        # the loop forgets a signal that comes when the descriptor's buffer is full.
        # A call that is posted to the loop is never forgotten.
        loop.add_signal_handler(signal.SIGCHLD, self._look)
        signal.signal(signal.SIGCHLD, lambda *_: loop.call_soon_threadsafe(self._look))
        self._look()  # a child that we inherited may have ended before
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_signal_handler(signal.SIGCHLD)

    async def start(
        self, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> Child:
        """Start a process.

        :raises OSError: if it cannot be started
        """
        self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - it ends soon, and CMD is the user's
            arguments,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        return Child(self._process, self)

    def _look(self) -> None:
        if self._adopts_orphans:
            self._reap_orphans()
        self.changed.set()
        self.changed = anyio.Event()

    def _reap_orphans(self) -> None:
        if sys.platform != "linux":  # pragma: no cover - measured on Linux
            raise NotImplementedError
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with suppress(ChildProcessError):  # no child is left
            while child := os.waitid(os.P_ALL, 0, ended):
                # Popen keeps the exit status of CMD, so Popen is the first to reap.
                if self._process is not None:
                    self._process.poll()
                with suppress(ChildProcessError):  # it was CMD
                    os.waitpid(child.si_pid, os.WNOHANG)


def _adopts_orphans() -> bool:
    """Return whether the kernel gives us the children of processes that end."""
    if sys.platform != "linux":  # pragma: no cover - measured on Linux
        return False
    if os.getpid() == 1:  # pragma: no cover - in a process of its own
        return True
    import ctypes

    get_child_subreaper = 37
    is_subreaper = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(get_child_subreaper, ctypes.byref(is_subreaper), 0, 0, 0)
    return bool(is_subreaper.value)


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
