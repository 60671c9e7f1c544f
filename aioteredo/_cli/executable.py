"""A check that CMD can be run, before ``exec`` waits days for the first change."""

from __future__ import annotations

import os
import shutil
import sys


class NotExecutableError(Exception):
    """An error of a CMD that cannot be run, with the exit status of a shell for it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def find_executable(name: str) -> str:
    """Return the name by which to start CMD.

    A name that contains ``{port}`` is returned unchecked, because it differs in each run.

    :raises NotExecutableError: if there is no such file, or it is not executable
    """
    path = shutil.which(name)
    if path is None and "{port}" not in name:
        if shutil.which(name, os.F_OK) or (os.path.dirname(name) and os.path.isdir(name)):
            raise NotExecutableError(f"cannot run {name!r}: it is not executable", 126)
        raise NotExecutableError(f"cannot run {name!r}: it is not found", 127)

    # Windows adds only ".exe" to a name: it would not find upnpc.cmd by the name "upnpc".
    if path is not None and sys.platform == "win32":  # pragma: no cover - measured on Linux
        return path
    return name
