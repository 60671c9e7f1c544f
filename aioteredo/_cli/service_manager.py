"""Messages of ``exec`` to the service manager that has started it, as of sd_notify(3)."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from typing import Final

_TIMEOUT: Final = 5.0
"""The seconds to wait for a service manager that reads no messages."""


class ServiceManager:
    """The reader of the socket that NOTIFY_SOCKET names, or nobody if it is not set.

    NOTIFY_SOCKET is removed from the environment. Otherwise CMD would inherit it, and
    systemd would log and refuse each message of CMD, because CMD isn't the service's main
    process.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")

    def send(self, *lines: str) -> None:
        """Send *lines* as one message; drop the message if it cannot be sent."""
        if not self._address:
            return
        if sys.platform == "win32":  # pragma: no cover - measured on Linux
            return

        address = self._address
        if address.startswith("@"):
            # In NOTIFY_SOCKET, "@" stands for the null byte of an abstract address.
            address = "\0" + address[1:]

        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection,
        ):
            connection.settimeout(_TIMEOUT)
            # Unconnected, send would retry without pause while the manager's queue is full.
            connection.connect(address)
            connection.send("\n".join(lines).encode())
