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
def test_error_of_a_terminal_is_its_end_and_that_of_a_disk_a_failure(
    path: str, code: int, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same number does not mean the same."""
    if path.startswith("/dev"):
        path = os.devnull  # a character device, as a terminal is
    with open(path, "rb") as file, pytest.MonkeyPatch.context() as patch:
        stream = io.TextIOWrapper(
            io.BufferedWriter(Failing(file.fileno(), code)), encoding="utf-8"
        )
        patch.setattr(sys, "stdout", stream)
        with use_backend(SimulatedBackend(5)):
            assert main(["port"]) == status
    assert bool(capsys.readouterr().err) is (status == 1)


@pytest.mark.parametrize("code", [errno.EPIPE, errno.EIO])
def test_output_that_is_not_a_file_fails(
    code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only some of its errors say that nobody reads it."""

    class Out(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(code, os.strerror(code))

    with pytest.MonkeyPatch.context() as patch, use_backend(SimulatedBackend(5)):
        patch.setattr(sys, "stdout", Out())
        assert main(["port"]) == (0 if code == errno.EPIPE else 1)


def test_mark_of_an_encoding_is_written_once(running: RunningCommand) -> None:
    """An encoding may begin with a mark, which is wrong in the middle."""
    running.start("watch", "--initial", "--count=3", env={"PYTHONIOENCODING": "utf-16"})
    running.change(1, 2, wait=False)
    assert running.process.stdout is not None
    text = running.process.stdout.read().decode("utf-16")
    assert text.count("\ufeff") == 0
    assert text.count("\n") == 3
