"""CMD on Windows, which gives a handle with each child and cannot ask a process to end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self

import anyio
from anyio.abc import Process

assert sys.platform == "win32"  # for mypy, which reads this module on each platform


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


async def end(child: Child, refused: Callable[[int, str], None]) -> None:  # noqa: ARG001
    """End *child*: Windows knows no group that could be ended with it."""
    child.terminate()
    await child.wait()
