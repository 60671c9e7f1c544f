"""CMD on Windows, where a child is terminated at once, and its own children go on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self

import anyio
from anyio.abc import Process

assert sys.platform == "win32"  # mypy checks this module for each platform.


class Child:
    """A process that leads a process group of its own."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.pid = process.pid

    def has_ended(self) -> bool:
        """Return whether the process has ended."""
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Wait for the end of the process.

        :return: the exit status
        """
        return await self._process.wait()

    def terminate(self) -> None:
        """End the process at once, because Windows has no SIGTERM to ask it to end."""
        with suppress(ProcessLookupError):
            self._process.terminate()


class Children:
    """The starter of the runs of CMD, one process after the other."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    async def start(
        self, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> Child:
        """Start a process with an empty standard input.

        :raises OSError: if the process cannot be started
        """
        # A cancellation between the start and the return would leave the child running.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=None,
                stderr=None,
                env=environment,
                # In a group of its own, the child gets no Ctrl-C from the console. Ctrl-C
                # ends `exec`, which then ends the child.
                creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
            )
        return Child(process)


async def end(child: Child, report_refusal: Callable[[int, str], None]) -> None:  # noqa: ARG001
    """End *child*, but not its children, because Windows cannot end a process group.

    :param report_refusal: never called
    """
    child.terminate()
    await child.wait()
