"""CMD on POSIX, with an end for its whole process group: SIGTERM first, then SIGKILL."""

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

assert sys.platform != "win32"  # mypy checks this module for each platform.

# Both modules lack these functions on Windows, so import them after the assertion.
from ..signals import add_loop_handler  # noqa: E402
from .group import find_refusal, is_left  # noqa: E402

GRACE: Final = 5.0
"""The seconds from SIGTERM to SIGKILL."""

_KILL_TIMEOUT: Final = 5.0
"""The seconds to wait for the end of the group after SIGKILL."""

_POLL: Final = 0.01
"""The seconds between two checks whether the group is left."""

_POLL_REFUSED: Final = 0.25
"""The seconds between two scans of /proc for a process that may run for hours."""


class Child:
    """A process that leads a session of its own, and so a process group.

    In another session than the terminal's, the process gets no Ctrl-C from the terminal.
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
    """The starter of the runs of CMD, which reaps each process when SIGCHLD comes.

    To be entered in the main thread's asyncio loop. The kernel gives orphans to the first
    process of a container, and to a child subreaper. They are reaped as well; otherwise
    they would stay zombies.
    """

    changed: anyio.Event
    """An event that the next SIGCHLD sets."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._adopts_orphans = _adopts_orphans()
        self.changed = anyio.Event()

        # Each of the two handlers has a purpose.
        # 1. The loop's handler makes the loop's wake-up descriptor.
        # 2. The loop loses a signal that comes while the buffer of that descriptor is full.
        #    The second handler replaces the first one, and posts a call, which is not lost.
        # A handler also replaces the SIG_IGN that a parent may have set, with which the
        # kernel would drop the exit status of CMD. CMD itself starts with the default.
        add_loop_handler(loop, signal.SIGCHLD, self._handle_sigchld)
        signal.signal(
            signal.SIGCHLD, lambda *_: loop.call_soon_threadsafe(self._handle_sigchld)
        )
        # An orphan that was adopted earlier may have ended before the handler was there.
        self._handle_sigchld()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_signal_handler(signal.SIGCHLD)

    async def start(
        self, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> Child:
        """Start a process with an empty standard input.

        :raises OSError: if the process cannot be started
        """
        # asyncio would start the child first, and then make a thread or a descriptor, with
        # which to wait. If the system refused that, nobody would wait for the child.
        # Waiting for SIGCHLD needs neither.
        self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - Popen returns soon, and CMD is the user's
            arguments,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        return Child(self._process, self)

    def _handle_sigchld(self) -> None:
        if self._adopts_orphans:
            self._reap_orphans()
        self.changed.set()
        self.changed = anyio.Event()

    def _reap_orphans(self) -> None:
        if sys.platform != "linux":  # pragma: no cover - measured on Linux
            raise NotImplementedError
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with suppress(ChildProcessError):  # waitid() raises when no child is left.
            while child := os.waitid(os.P_ALL, 0, ended):
                # Let Popen reap CMD first. Reaped by waitpid(), CMD would have no exit
                # status for Popen.
                if self._process is not None:
                    self._process.poll()
                with suppress(ChildProcessError):  # Popen has reaped this child.
                    os.waitpid(child.si_pid, os.WNOHANG)


def _adopts_orphans() -> bool:
    """Return whether the kernel gives orphans to this process."""
    if sys.platform != "linux":  # pragma: no cover - measured on Linux
        return False
    if os.getpid() == 1:  # pragma: no cover - tested in another process
        return True

    import ctypes

    get_child_subreaper = 37
    is_subreaper = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(get_child_subreaper, ctypes.byref(is_subreaper), 0, 0, 0)
    return bool(is_subreaper.value)


async def end(child: Child, report_refusal: Callable[[int, str], None]) -> None:
    """End the group of *child*, which has not ended yet; return when the group is gone.

    A process that this user may not signal is waited for without a limit.

    :param report_refusal: called once if there is such a process, with its number and the
        reason
    """
    group = child.pid
    refusals = _RefusalReporter(group, report_refusal)

    for number, seconds in ((signal.SIGTERM, GRACE), (signal.SIGKILL, _KILL_TIMEOUT)):
        _signal(group, number)
        # A stopped process handles SIGTERM only after it has been continued.
        _signal(group, signal.SIGCONT)
        refusals.check()

        with anyio.move_on_after(seconds):
            await child.wait()
            # Without /proc, the kernel refuses only when every process that is left belongs
            # to another user.
            refusals.check()
            while is_left(group):  # noqa: ASYNC110 - no signal reports the end of a group
                await anyio.sleep(_POLL)
            return

    await child.wait()
    refusals.check()
    while find_refusal(group):  # noqa: ASYNC110 - no signal reports the end of a group
        await anyio.sleep(_POLL_REFUSED)


class _RefusalReporter:
    """A reporter of the first process of a group that this user may not signal."""

    def __init__(self, group: int, report: Callable[[int, str], None]) -> None:
        self._group = group
        self._report = report
        self._has_reported = False

    def check(self) -> None:
        """Report such a process if there is one, but only once."""
        if self._has_reported:
            return
        if refusal := find_refusal(self._group):
            self._has_reported = True
            self._report(*refusal)


def _signal(group: int, number: int) -> None:
    # killpg() fails with EPERM only if this user may signal no process of the group.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
