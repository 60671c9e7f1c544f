"""The users of the machine that this process can tell apart.

In a user namespace, such as a rootless container, only some users are mapped. The kernel
reports the sockets of all other users under one number, the overflow uid.
"""

from __future__ import annotations

from typing import Final

from ._netlink import as_backend_error

UID_MAP: Final = "/proc/self/uid_map"
OVERFLOW_UID: Final = "/proc/sys/kernel/overflowuid"

ALL_USERS: Final = 2**32 - 1
DEFAULT_OVERFLOW_UID: Final = 65534


class MappedUsers:
    """The users that are mapped in the user namespace of this process now."""

    unknown: int | None
    """The uid that stands for every user that is not mapped; None: all users are mapped."""

    def __init__(self) -> None:
        self._rows = _read_map()
        mapped = sum(count for _, count in self._rows)
        self.unknown = None if mapped == ALL_USERS else _overflow_uid()

    def can_see(self, uid: int) -> bool:
        """Return whether *uid* stands for exactly one user of the machine."""
        return uid != self.unknown and any(
            first <= uid < first + count for first, count in self._rows
        )


def _read_map() -> list[tuple[int, int]]:
    text = _read(UID_MAP)
    if text is None:  # no user namespaces in this kernel, or no /proc
        return [(0, ALL_USERS)]
    rows = [line.split() for line in text.splitlines()]
    return [(int(first), int(count)) for first, _, count in rows]


def _overflow_uid() -> int:
    text = _read(OVERFLOW_UID)
    if text is None:  # systemd's ProcSubset=pid hides the file
        return DEFAULT_OVERFLOW_UID
    return int(text)


def _read(path: str) -> str | None:
    with as_backend_error(f"open({path})"):
        try:
            with open(path) as file:
                return file.read()
        except FileNotFoundError:
            return None
