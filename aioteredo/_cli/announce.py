"""What a command that follows the port says to the person who has started it."""

from __future__ import annotations

import sys

from .._backend import BackendLike
from .._errors import TeredoError
from .._selection import default_name
from .._watch import get_teredo_port
from .output import tell


async def announce(backend: BackendLike | None) -> None:
    """Say what is followed, its state, and how to end it. Programs are told nothing."""
    if not sys.stderr.isatty():
        return
    try:
        port = await get_teredo_port(backend=backend)
    except TeredoError:  # the watch goes on, as it does where nobody is told
        state = "the port cannot be read"
    else:
        state = "no port" if port is None else f"port {port}"
    tell(f"Following {client_of(backend)}: {state}. Press Ctrl-C to end.")


def client_of(backend: BackendLike | None) -> str:
    """Return the words for the Teredo client of *backend*."""
    name = default_name() if backend is None else backend
    return f"the Teredo client of {name}" if isinstance(name, str) else "the Teredo client"
