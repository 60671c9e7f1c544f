"""Which backends can be used here, and why not the others.

A backend has no method of its own to say so: it is loaded, and asked for its port once,
and either may raise BackendUnavailableError. Some can only be known by the second, such
as a kernel that refuses netlink, or a Windows without IPv6.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ._backend import default_name, names, resolve
from ._errors import TeredoError


class Availability(NamedTuple):
    """A backend that can be named."""

    name: str
    default: bool
    """Whether it is the one that is taken if none is named."""
    reason: str | None
    """Why it cannot be used, or None: it can."""


def backends() -> Iterator[Availability]:
    """Try each backend. What breaks one of another package is that one's reason."""
    default = default_name()
    listed = names()
    if default is not None and default not in listed:
        listed.append(default)  # who set it wants to know
    for name in listed:
        yield Availability(name, name == default, _why_not(name))


def _why_not(name: str) -> str | None:
    try:
        resolve(name).get_port()
    except TeredoError as error:
        return str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the code is others'
        return f"{type(error).__name__}: {error}"
    return None
