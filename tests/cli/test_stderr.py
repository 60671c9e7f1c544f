"""Standard error whose reader has stalled, or that cannot be written."""

from __future__ import annotations

import errno
import signal
import subprocess

import pytest

from aioteredo import BackendError, _new_thread
from aioteredo._cli import output as _output
from aioteredo._cli.commands import main

from ..support.command import command, killed_by
from ..support.outputs import KINDS, Output
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import join, limit
from .marks import linux
from .streams import as_standard_stream, each_output

pytestmark = linux  # The descriptors of other systems report less.


def test_report_is_written_without_a_thread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the system refuses a thread, the reason of the failure is still written, once."""

    def refuse(*_: object, **__: object) -> None:
        raise BackendError("Thread.start", errno.EAGAIN, "errno")

    monkeypatch.setattr(_new_thread, "start_thread", refuse)
    assert main(["port", "--backend", "iphlpapi"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@each_output(*KINDS)
@pytest.mark.parametrize("blocking", [True, False])
def test_failed_command_exits_although_stderr_is_stalled(
    out: Output, blocking: bool
) -> None:
    """A service manager learns of the failure by the exit status."""
    out.set_blocking(blocking)
    out.fill()
    result = subprocess.run(
        command("port", "--backend", "iphlpapi"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=out.writing,
        timeout=limit(),
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, b"")


@each_output("pipe")
def test_long_message_is_whole_on_a_stderr_that_does_not_block(out: Output) -> None:
    """A message that is longer than the room in the pipe is not torn."""
    out.set_blocking(False)
    with out.being_read() as lines:
        result = subprocess.run(
            command("port", "--backend", "x" * 100_000),
            stdin=subprocess.DEVNULL,
            stderr=out.writing,
            timeout=limit(),
            check=False,
        )
        assert result.returncode == 2
        *_, line = lines()
    assert line.startswith("aioteredo port: --backend: ")
    assert line.count("x") >= 100_000


@each_output("pipe", "socket", "terminal")
@pytest.mark.parametrize("blocking", [True, False])
def test_exec_follows_the_port_although_stderr_is_stalled(
    out: Output, blocking: bool, running: RunningCommand, runs: Runs
) -> None:
    """A report that nobody reads does not keep CMD from its next run."""
    out.set_blocking(blocking)
    out.fill()
    running.start("exec", "--", *runs.cmd, "{port}", stderr=out.writing)
    for port in ("1", "2", "3"):
        running.change(int(port))
        cmd = runs.next()
        assert cmd.argument == port
        cmd.finish(1)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(limit()) == killed_by(signal.SIGTERM)


@each_output("pipe")
def test_lines_are_dropped_while_an_earlier_line_is_stalled(
    out: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first line is waited for. Otherwise each line would take a second."""
    monkeypatch.setattr(_output, "STDERR_TIMEOUT", 0.01)
    out.fill()
    with as_standard_stream("stderr", out):
        _output.report_error("first")
        monkeypatch.setattr(_output, "STDERR_TIMEOUT", 2 * limit())
        _output.report_error("dropped")
        with out.being_read() as lines:
            telling = _output._stderr_thread
            assert telling is not None
            join(telling)
            _output.report_error("last")
            assert lines() == ["aioteredo: first", "aioteredo: last"]
