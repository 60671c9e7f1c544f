"""Messages to the service manager that has started ``exec``, as of sd_notify(3)."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from typing import Final

_TIMEOUT: Final = 5.0  # seconds to wait for a manager that reads no messages


class ServiceManager:
    """The reader of the socket that NOTIFY_SOCKET names; nobody if there is no such socket.

    The variable is removed: systemd would log each message that CMD or one of its children
    sends there, and refuse it.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")

    def tell(self, *lines: str) -> None:
        """Send one message. A message that cannot be sent is dropped."""
        if not self._address:
            return
        if sys.platform == "win32":  # pragma: no cover - measured on Linux
            return
        address = self._address
        if address.startswith("@"):  # This is how the abstract namespace is written.
            address = "\0" + address[1:]
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection,
        ):
            connection.settimeout(_TIMEOUT)
            # Only a connected socket can wait for room at the other end without spinning.
            connection.connect(address)
            connection.send("\n".join(lines).encode())
