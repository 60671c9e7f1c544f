"""The end of a waiting command when the reader of standard output closes it.

``watch`` prints a few lines a day, and ``address --wait`` one line at its end. A command
that nobody reads any more would stay until its next line, which cannot be written.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Awaitable, Callable

import anyio

from .output import LineWriter


async def run_until_hang_up(
    func: Callable[[], Awaitable[object]], output: LineWriter
) -> None:
    """Await *func*, and cancel it when *output* has no reader any more."""

    async def cancel_at_hang_up(descriptor: int) -> None:
        await wait_for_hang_up(descriptor)
        group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            if (descriptor := output.fileno()) is not None:
                group.start_soon(cancel_at_hang_up, descriptor)
            await func()
            group.cancel_scope.cancel()
    except BaseExceptionGroup as errors:
        # main() reports the error by its class, which the group would hide.
        raise errors.exceptions[0] from None


if sys.platform == "linux":  # pragma: no branch - measured on Linux
    import select

    async def wait_for_hang_up(descriptor: int) -> None:
        """Return when *descriptor* has no reader any more.

        Sleep until cancelled if the descriptor is a file, which cannot hang up.
        """
        # The event loop can only wait until a descriptor is readable. A socket or a
        # terminal is also readable when the other side has sent data, which this command
        # never reads. An epoll that asks for no event reports hang-ups only, and becomes
        # readable itself when it has a hang-up to report.
        with select.epoll() as epoll:
            try:
                epoll.register(descriptor, _end_of_input(descriptor))
            except PermissionError:  # epoll refuses files.
                await anyio.sleep_forever()
            await anyio.wait_readable(epoll.fileno())

    def _end_of_input(descriptor: int) -> int:
        """Return EPOLLRDHUP if the end of a peer's input means that the peer has gone.

        sshd and socat end the input of a local command that they still read from; the
        kernel reports their close as a hang-up. On a network, a peer that closes and a peer
        that only sends no more look the same, and most of them have closed.
        """
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return 0
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            return 0 if connection.family == socket.AF_UNIX else select.EPOLLRDHUP

elif sys.platform == "win32":  # pragma: no cover - measured on Linux

    async def wait_for_hang_up(descriptor: int) -> None:  # noqa: ARG001
        """Sleep until cancelled, because Windows reports no hang-up of a descriptor."""
        await anyio.sleep_forever()

else:  # pragma: no cover - measured on Linux
    import fcntl

    async def wait_for_hang_up(descriptor: int) -> None:
        """Return when *descriptor* is a pipe and has no reader any more.

        Sleep until cancelled if it isn't the writing end of a pipe.
        """
        access = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode) or access != os.O_WRONLY:
            await anyio.sleep_forever()

        # The writing end of a pipe becomes readable when the last reader closes its end.
        await anyio.wait_readable(descriptor)
