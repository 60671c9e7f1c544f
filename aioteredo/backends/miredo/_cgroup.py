"""The cgroup of a systemd unit, which the kernel reports with each socket.

A container often sees only its own part of the cgroup tree. A directory that is absent in
the container can therefore belong to a running unit of the machine.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import Final

from ..._errors import BackendError, BackendUnavailableError
from ._inet_diag import UdpSocket
from ._netlink import as_backend_error

ROOT_ID: Final = 1


class Cgroup:
    """A directory of the cgroup v2 file system, which is absent while the unit is stopped.

    :raises ValueError: if neither *path* nor its parent is such a directory
    :raises TypeError: if *path* is not a path
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # No pathlib here: its import would slow down a program that only asks for the port.
        try:
            text = os.fspath(path)
        except TypeError:
            text = None
        if not isinstance(text, str):
            raise TypeError(f"cgroup must be a path, not {path!r}")

        # Made absolute, because the program may change its working directory before the
        # cgroup is looked up.
        self._path = os.path.join(os.getcwd(), text).rstrip("/")
        existing = self._path
        if not os.path.exists(existing):
            existing = os.path.dirname(existing)
        if not _is_cgroup(existing):
            raise ValueError(
                "cgroup must be a directory in the cgroup v2 file system, such as "
                f"/sys/fs/cgroup/system.slice/miredo.service, not {path!r}; a container "
                "may see only its own part of that file system"
            )

        self._root = os.path.realpath(existing)
        while _is_cgroup(os.path.dirname(self._root)):
            self._root = os.path.dirname(self._root)

    def select(self, sockets: list[UdpSocket]) -> list[UdpSocket]:
        """Return the sockets that belong to this cgroup.

        :raises BackendUnavailableError: if the cgroup of a socket is unknown, or a
            container may hide this cgroup
        :raises BackendError: if the directory cannot be looked up
        """
        if any(sock.cgroup is None for sock in sockets):
            raise BackendUnavailableError(
                "this kernel does not report the cgroup of a socket, which needs Linux 5.8 "
                "with CONFIG_SOCK_CGROUP_DATA; choose Miredo by its user, with "
                "--miredo-uid or MiredoBackend(uid=...)"
            )

        try:
            with as_backend_error("stat"):
                number = os.stat(self._path).st_ino
        except BackendError as error:
            if error.code != errno.ENOENT:
                raise
            self._check_visible(sockets)
            return []  # the unit is stopped

        # Looked up at each call, because a unit gets a new directory when it starts.
        return [sock for sock in sockets if sock.cgroup == number]

    def _check_visible(self, sockets: list[UdpSocket]) -> None:
        """Raise an error if the absent directory may be hidden rather than removed."""
        visible = _ids_below(self._root)
        if ROOT_ID not in visible and any(sock.cgroup not in visible for sock in sockets):
            raise BackendUnavailableError(
                f"{self._path} is absent, and {self._root} is only a part of the cgroup "
                "tree: the unit may run outside of it; run aioteredo outside of the "
                "container, or give it the machine's cgroup namespace"
            )


def _is_cgroup(path: str) -> bool:
    return os.path.exists(os.path.join(path, "cgroup.controllers"))


def _ids_below(root: str) -> set[int]:
    with as_backend_error("stat"):
        ids = {os.stat(root).st_ino}
    if ROOT_ID in ids:
        return ids
    for directory, _, _ in os.walk(root):
        with suppress(OSError):  # removed since it was listed
            ids.add(os.stat(directory).st_ino)
    return ids
