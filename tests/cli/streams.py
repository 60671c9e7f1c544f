"""Outputs of the command whose reader can be made to go."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..support.command import command
from ..support.outputs import Output

CONNECTIONS = ["socket", "tcp"]


def each_output(*kinds: str) -> pytest.MarkDecorator:
    """Return a mark that runs a test for each of *kinds* of outputs, as fixture ``out``."""
    return pytest.mark.parametrize("out", kinds, indirect=True)


@contextmanager
def as_standard_stream(name: str, out: Output) -> Iterator[None]:
    """Have *out* for the standard stream *name* of this process."""
    with (
        open(out.writing, "w", encoding="utf-8", closefd=False) as stream,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, name, stream)
        yield


def simulated_command(name: str, *options: str) -> list[str]:
    """Return a command that uses the backend ``simulated``."""
    return command(name, "--backend", "simulated", *options)


def close_reader(out: Output) -> None:
    """Close the reading side."""
    out.close(out.reading)


def end_input(out: Output) -> None:
    """Have the reader send no more, but read on."""
    with out.reader() as connection:
        connection.shutdown(socket.SHUT_WR)
