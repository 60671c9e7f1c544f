"""When the reader of standard output goes, for a command that writes a few times a day.

Without this, a follower that nobody reads any more would stay until the next change of the
port. Where the system does not tell, the next line finds it out.
"""

from __future__ import annotations

import os
import socket
import stat
import sys

import anyio

if sys.platform == "linux":  # pragma: no branch - measured on Linux
    import select

    async def wait_until_reader_goes(number: int) -> None:
        """Return when nobody reads descriptor *number* any more, if the system tells."""
        # An event loop asks whether a descriptor is readable. A socket or a terminal is
        # readable as well when the other side has sent something, which nobody here will
        # read. An epoll that asks for nothing reports hang-ups only, and is itself
        # readable when it has one to report.
        with select.epoll() as hang_ups:
            try:
                hang_ups.register(number, _end_of_input(number))
            except PermissionError:  # a file never hangs up
                await anyio.sleep_forever()
            await anyio.wait_readable(hang_ups.fileno())

    def _end_of_input(number: int) -> int:
        """Return the event for a peer that sends no more, if that means that it has gone.

        A local peer that has no more to send may still read, and its close is reported
        as a hang-up: sshd and socat end the input of a command in this way. A network has
        one message for both, and most of the peers that send it have gone.
        """
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return 0
        with socket.socket(fileno=os.dup(number)) as connection:
            return 0 if connection.family == socket.AF_UNIX else select.EPOLLRDHUP

elif sys.platform == "win32":  # pragma: no cover - measured on Linux

    async def wait_until_reader_goes(number: int) -> None:  # noqa: ARG001
        """Sleep: no descriptor of Windows tells."""
        await anyio.sleep_forever()

else:  # pragma: no cover - measured on Linux
    import fcntl

    async def wait_until_reader_goes(number: int) -> None:
        """Return when nobody reads descriptor *number* any more, if it is a pipe."""
        access = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
        if not stat.S_ISFIFO(os.fstat(number).st_mode) or access != os.O_WRONLY:
            await anyio.sleep_forever()
        # The writing end of a pipe becomes readable when the last reader closes its end.
        await anyio.wait_readable(number)
