"""The list of the backends, each with its port or the reason why it cannot be used.

``aioteredo backends`` prints the list, and an error without a default backend names the
usable ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ._errors import TeredoError
from ._selection import backend_names, default_backend_name, resolve


class Availability(NamedTuple):
    """A backend that has a name, and whether it can be used on this machine."""

    name: str
    """The name of the backend."""

    default: bool
    """Whether it is the default backend."""

    port: int | None
    """The port of its Teredo client, or None: there is none, or *reason* says why not."""

    reason: str | None
    """The reason why the backend cannot be used, or None if it can."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for a program."""
        return {
            "name": self.name,
            "default": self.default,
            "available": self.reason is None,
            "port": self.port,
            "reason": self.reason,
        }

    def describe(self) -> str:
        """Return a line of text for a person."""
        default = " (default)" if self.default else ""
        if self.reason is not None:
            return f"not available{default}: {' '.join(self.reason.split())}"

        port = "no port" if self.port is None else f"port {self.port}"
        return f"available{default}: {port}"


def backends() -> Iterator[Availability]:
    """Try each backend that has a name, and yield its port or the reason it fails."""
    default = default_backend_name()
    listed = backend_names()
    # AIOTEREDO_BACKEND may be misspelt. The user then sees the name with the reason.
    if default is not None and default not in listed:
        listed.append(default)

    for name in listed:
        port, reason = _try_backend(name)
        yield Availability(name, name == default, port, reason)


def usable_names() -> list[str]:
    """Return the names of the backends that can be used on this machine."""
    usable = []
    for name in backend_names():
        _, reason = _try_backend(name)
        if reason is None:
            usable.append(name)
    return usable


def _try_backend(name: str) -> tuple[int | None, str | None]:
    """Return the port of a backend, and the reason why it cannot be used."""
    # Loading the backend is not enough. Only asking for the port shows, for example, that
    # a kernel refuses netlink or that a Windows has no IPv6.
    try:
        return resolve(name).get_port(), None
    except TeredoError as error:
        return None, str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - code of another package
        return None, f"{type(error).__name__}: {error}"
