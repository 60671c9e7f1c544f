"""Standard output and error that are missing, full, closed, or have no reader."""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.command import environment, run
from ..support.full_pipes import make_full_condition
from ..support.waiting import limit
from .marks import linux, posix
from .signalling import signal_when

FULL_DISK = "aioteredo: cannot write: No space left on device\n"


@contextlib.contextmanager
def stdout_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[BinaryIO]:
    """Make a pipe the standard output of this process; yield its reading end."""
    reading, writing = os.pipe()
    with (
        open(reading, "rb", 0) as reader,
        open(writing, "w") as writer,
        monkeypatch.context() as patch,
    ):
        patch.setattr(sys, "stdout", writer)
        yield reader


def make_filling_condition(
    client: SimulatedBackend, reader: BinaryIO
) -> Callable[[], bool]:
    """Return a condition: the pipe is full. It makes the changes that fill the pipe."""
    is_full = make_full_condition(reader)

    def fill_and_check() -> bool:
        if client.subscriber_count and client.get_port() is None:
            client.burst(range(1, 2000))
        return is_full()

    return fill_and_check


@linux
def test_output_that_could_not_be_written_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a signal, output that a full pipe has not taken is dropped, not flushed."""
    client = SimulatedBackend()
    with stdout_pipe(monkeypatch) as reader, use_backend(client):
        with signal_when(make_filling_condition(client, reader), signal.SIGINT):
            assert main(["watch", "--json", "--max-buffer-size=2000"]) == 130
        sys.stdout.flush()


def test_port_without_a_reader_exits_with_0() -> None:
    """A closed pipe is not an error, and the interpreter's exit prints nothing."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:
        arguments = ["port", "--backend", "simulated"]
        result = run(*arguments, stdout=stdout, stderr=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (0, "")


def test_main_without_a_reader_returns_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """``main()`` returns 0 if the pipe of its output is closed."""
    with stdout_pipe(monkeypatch) as reader, use_backend(SimulatedBackend(5)):
        reader.close()
        assert main(["port"]) == 0


def test_missing_stdout_is_replaced_by_the_null_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without ``sys.stdout``, the command succeeds and its output is discarded."""
    monkeypatch.setattr(sys, "stdout", None)
    with use_backend(SimulatedBackend(5)):
        assert main(["port"]) == 0

    # The command has opened the null device, which must be closed to avoid a warning.
    sys.stdout.close()


@linux
@pytest.mark.parametrize(
    "arguments", [["port"], ["watch", "--initial"], ["backends"], ["--help"]], ids=str
)
def test_full_disk_is_reported_by_each_command(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An output on a full disk is reported once, and the rest is dropped."""
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with use_backend(SimulatedBackend(5)):
            assert main(arguments) == 1
    assert capsys.readouterr().err == FULL_DISK


@linux
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_is_reported_in_one_line(unbuffered: str) -> None:
    """The process prints one line, and no second one when the interpreter exits."""
    with Path("/dev/full").open("w") as full:
        result = run(
            *("port", "--backend", "simulated"),
            env=environment(PYTHONUNBUFFERED=unbuffered),
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert (result.returncode, result.stderr) == (1, FULL_DISK)


@linux
def test_timeout_ends_watch_while_the_pipe_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``--timeout`` ends ``watch`` although the pipe was full before its first line."""
    with stdout_pipe(monkeypatch), use_backend(SimulatedBackend(restart_every=0.0001)):
        while select.select([], [sys.stdout], [], 0)[1]:
            sys.stdout.write("x" * 4096)
            sys.stdout.flush()
        assert main(["watch", "--initial", "--timeout", "0.5"]) == 0


@posix
def test_fifo_that_is_open_for_reading_too_gets_the_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines go into a named pipe even if the command could read from it, too."""
    if sys.platform == "win32":
        raise NotImplementedError
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    with os.fdopen(fifo, "w") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)

        with use_backend(SimulatedBackend(5, restart_every=0.01)):
            assert main(["watch", "--initial", "--count", "3"]) == 0
        assert os.read(fifo, 10_000).count(b"\n") == 3


@posix
@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
def test_process_without_stdout_or_stderr_writes_to_neither(redirection: str) -> None:
    """The error is written only if stderr is open, and never to another descriptor."""
    result = subprocess.run(
        f'"{sys.executable}" -X dev -m aioteredo port {redirection}',
        shell=True,
        env=environment(AIOTEREDO_BACKEND="iphlpapi"),
        capture_output=True,
        timeout=limit(),
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(b"aioteredo: ") is ("2>&-" not in redirection)


def test_stdout_that_is_not_a_file_is_written_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A program may have replaced ``sys.stdout``, and the new object gets the lines."""
    with use_backend(SimulatedBackend(7)):
        assert main(["watch", "--initial", "--count", "1"]) == 0
    assert capsys.readouterr().out.endswith("  7\n")


def test_stdout_without_an_encoding_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``StringIO``, which has no encoding, gets the lines."""
    for arguments, line in ((["port"], "7\n"), (["backends"], "  available: port ")):
        monkeypatch.setattr(sys, "stdout", out := io.StringIO())

        with use_backend(SimulatedBackend(7)):
            assert main(arguments) == 0
        assert line in out.getvalue()
