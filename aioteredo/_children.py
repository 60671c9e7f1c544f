"""CMD as a child process: how ``exec`` starts it, and how ``exec`` hears of its end.

asyncio forks a child first, and then asks the system for a thread or a descriptor to wait
with. If the system refuses, the child runs and nobody waits for it. SIGCHLD needs neither.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Self

import anyio
from anyio.abc import Process

if sys.platform == "win32":  # pragma: no cover - measured on Linux
    # Windows gives a handle with each child. asyncio waits for the handle.

    class Child:
        """A process in a process group of its own."""

        def __init__(self, process: Process) -> None:
            self._process = process
            self.pid = process.pid

        def has_ended(self) -> bool:
            """Return whether the process has ended."""
            return self._process.returncode is not None

        async def wait(self) -> int:
            """Wait for the end of the process, and return its exit status."""
            return await self._process.wait()

        def terminate(self) -> None:
            """End the process at once: Windows has no way to ask it."""
            with suppress(ProcessLookupError):
                self._process.terminate()

    class Children:
        """Starts one child after the other."""

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        async def start(
            self, arguments: Sequence[str], environment: Mapping[str, str]
        ) -> Child:
            """Start a process.

            :raises OSError: if it cannot be started
            """
            # A child that is started when the scope is cancelled must be ended, too.
            with anyio.CancelScope(shield=True):
                process = await anyio.open_process(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=None,
                    stderr=None,
                    env=environment,
                    # The group also keeps a console's Ctrl-C from the child.
                    creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
                )
            return Child(process)

else:
    import asyncio

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
