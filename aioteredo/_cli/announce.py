"""The line on stderr by which ``watch`` and ``exec`` greet a person at a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .._backend import BackendLike
from .._errors import TeredoError
from .._selection import default_backend_name
from .output import write_stderr

if TYPE_CHECKING:
    from .subject import Subject


async def announce(subject: Subject, backend: BackendLike | None) -> None:
    """Print the name of the client, its port or addresses, and how to end the command.

    Print nothing if stderr is not a terminal, because a program would take the line for an
    error.
    """
    if not sys.stderr.isatty():
        return

    try:
        value = await subject.get(backend=backend)
    except TeredoError:
        # The command must not fail on a terminal if it works in a pipe, where nobody asks
        # for the port.
        state = f"the {subject.noun} cannot be read"
    else:
        state = subject.describe(value)

    write_stderr(f"Following {describe_client(backend)}: {state}. Press Ctrl-C to end.")


def describe_client(backend: BackendLike | None) -> str:
    """Return the words for the Teredo client of *backend*, or of the default backend."""
    name = default_backend_name() if backend is None else backend
    return f"the Teredo client of {name}" if isinstance(name, str) else "the Teredo client"
