"""Whether CMD can be found, before ``exec`` waits for a change that may be days away."""

from __future__ import annotations

import os
import shutil
import sys


class NotExecutableError(Exception):
    """CMD cannot be run: the text says why. A shell exits with *status* then."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def find(name: str) -> str:
    """Find CMD, and return the name to start it by.

    A name with ``{port}`` in it is not looked up, since it changes with the port.

    :raises NotExecutableError: if it is not there, or is not executable
    """
    path = shutil.which(name)
    if path is None and "{port}" not in name:
        if shutil.which(name, os.F_OK) or (os.path.dirname(name) and os.path.isdir(name)):
            raise NotExecutableError(f"cannot run {name!r}: it is not executable", 126)
        raise NotExecutableError(f"cannot run {name!r}: it is not found", 127)

    # Windows adds only ".exe" by itself: it would not find upnpc.cmd by the name "upnpc".
    if path is not None and sys.platform == "win32":  # pragma: no cover - measured on Linux
        return path
    return name
