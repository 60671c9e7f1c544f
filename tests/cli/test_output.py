"""Errors of standard output, and its encoding."""

from __future__ import annotations

import errno
import io
import os
import sys

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.running import RunningCommand
from .marks import linux

pytestmark = linux  # The descriptors of other systems report less.


class Failing(io.RawIOBase):
    """A file whose writes fail."""

    def __init__(self, number: int, code: int) -> None:
        self._number = number
        self._code = code

    def fileno(self) -> int:
        return self._number

    def writable(self) -> bool:
        return True

    def write(self, _: object) -> int:
        raise OSError(self._code, os.strerror(self._code))


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("/dev/tty0", errno.EIO, 0),
        (__file__, errno.EIO, 1),
        (__file__, errno.ETIMEDOUT, 1),
        (__file__, errno.ENOSPC, 1),
    ],
)
def test_error_means_a_hang_up_of_a_terminal_but_a_failure_of_a_disk(
    path: str, code: int, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """EIO from a terminal ends the command with 0, but EIO from a disk with 1."""
    if path.startswith("/dev"):
        path = os.devnull  # A character device, like a terminal.
    with open(path, "rb") as file, pytest.MonkeyPatch.context() as patch:
        stream = io.TextIOWrapper(
            io.BufferedWriter(Failing(file.fileno(), code)), encoding="utf-8"
        )
        patch.setattr(sys, "stdout", stream)
        with use_backend(SimulatedBackend(5)):
            assert main(["port"]) == status
    assert bool(capsys.readouterr().err) is (status == 1)


@pytest.mark.parametrize("code", [errno.EPIPE, errno.EIO])
def test_error_of_an_output_that_is_not_a_file_is_reported(
    code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """EPIPE means that nobody reads the output; EIO is a failure."""

    class Out(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(code, os.strerror(code))

    with pytest.MonkeyPatch.context() as patch, use_backend(SimulatedBackend(5)):
        patch.setattr(sys, "stdout", Out())
        assert main(["port"]) == (0 if code == errno.EPIPE else 1)


def test_mark_of_an_encoding_is_written_once(running: RunningCommand) -> None:
    """A byte order mark between two lines would be wrong."""
    running.start("watch", "--initial", "--count=3", env={"PYTHONIOENCODING": "utf-16"})
    running.change(1, 2, wait=False)
    assert running.process.stdout is not None
    text = running.process.stdout.read().decode("utf-16")
    assert text.count("\ufeff") == 0
    assert text.count("\n") == 3
