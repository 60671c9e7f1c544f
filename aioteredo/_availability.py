"""Which backends can be used here, and why not the others.

A backend has no method of its own to say so: it is loaded, and asked for its port once,
and either may raise BackendUnavailableError. Some can only be known by the second, such
as a kernel that refuses netlink, or a Windows without IPv6.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ._errors import TeredoError
from ._selection import default_name, names, resolve


class Availability(NamedTuple):
    """A backend that can be named."""

    name: str
    default: bool
    """Whether it is the one that is taken if none is named."""
    port: int | None
    """The port of its Teredo client, or None: no client has one, or it cannot be asked."""
    reason: str | None
    """Why it cannot be used, or None: it can."""

    def as_dict(self) -> dict[str, Any]:
        """Return the keys and values for a program."""
        return {
            "name": self.name,
            "default": self.default,
            "available": self.reason is None,
            "port": self.port,
            "reason": self.reason,
        }

    def describe(self) -> str:
        """Return the words for a person."""
        default = " (default)" if self.default else ""
        if self.reason is not None:
            return f"not available{default}: {' '.join(self.reason.split())}"
        port = "no port" if self.port is None else f"port {self.port}"
        return f"available{default}: {port}"


def backends() -> Iterator[Availability]:
    """Try each backend. What breaks one of another package is that one's reason."""
    default = default_name()
    listed = names()
    if default is not None and default not in listed:
        listed.append(default)  # who set it wants to know
    for name in listed:
        yield Availability(name, name == default, *_ask(name))


def usable() -> list[str]:
    """Return the names of the backends that can be used here."""
    return [name for name in names() if _ask(name)[1] is None]


def _ask(name: str) -> tuple[int | None, str | None]:
    """Return the port, and why it cannot be asked for."""
    try:
        return resolve(name).get_port(), None
    except TeredoError as error:
        return None, str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the code is others'
        return None, f"{type(error).__name__}: {error}"
