"""The line on stderr by which ``watch`` and ``exec`` greet a person at a terminal."""

from __future__ import annotations

import sys

from .._backend import BackendLike
from .._errors import TeredoError
from .._port_watch import get_teredo_port
from .._selection import default_backend_name
from .output import write_stderr


async def announce(backend: BackendLike | None) -> None:
    """Print the name of the client, its port, and how to end the command.

    Print nothing if stderr is not a terminal, because a program would take the line for an
    error.
    """
    if not sys.stderr.isatty():
        return

    try:
        port = await get_teredo_port(backend=backend)
    except TeredoError:
        # The command must not fail on a terminal if it works in a pipe, where nobody asks
        # for the port.
        state = "the port cannot be read"
    else:
        state = "no port" if port is None else f"port {port}"

    write_stderr(f"Following {describe_client(backend)}: {state}. Press Ctrl-C to end.")


def describe_client(backend: BackendLike | None) -> str:
    """Return the words for the Teredo client of *backend*, or of the default backend."""
    name = default_backend_name() if backend is None else backend
    return f"the Teredo client of {name}" if isinstance(name, str) else "the Teredo client"
