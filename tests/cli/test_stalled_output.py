"""Standard output whose reader has stalled: a line waits, and the command can still end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli import output as _output
from aioteredo._cli.commands import main

from ..support.command import command, environment, killed_by
from ..support.outputs import KINDS, Output
from ..support.running import RunningCommand
from ..support.waiting import limit, wait_until
from .marks import linux
from .streams import as_standard_stream, close_reader, each_output, simulated_command

pytestmark = linux  # The descriptors of other systems report less.


def press_ctrl_s(out: Output) -> None:
    """Stop the output of a terminal, as Ctrl-S does."""
    if sys.platform == "win32":
        raise NotImplementedError
    import termios

    termios.tcflow(out.writing, termios.TCOOFF)


STALLS = [*((kind, Output.fill) for kind in KINDS), ("terminal", press_ctrl_s)]


@pytest.mark.parametrize(("out", "stall"), STALLS, indirect=["out"])
@pytest.mark.parametrize("blocking", [True, False])
def test_timeout_ends_a_watch_whose_reader_is_stalled(
    out: Output, stall: Callable[[Output], None], blocking: bool
) -> None:
    """``--timeout`` is kept although no byte can be written."""
    out.set_blocking(blocking)
    stall(out)
    result = subprocess.run(
        simulated_command("watch", "--initial", "--timeout", "0.5"),
        stdin=subprocess.DEVNULL,
        stdout=out.writing,
        stderr=subprocess.PIPE,
        timeout=limit(),
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize(("out", "stall"), STALLS, indirect=["out"])
@pytest.mark.parametrize("blocking", [True, False])
def test_signal_ends_a_watch_whose_reader_is_stalled(
    out: Output, stall: Callable[[Output], None], blocking: bool, running: RunningCommand
) -> None:
    """The signal does not wait for the line that cannot be written."""
    out.set_blocking(blocking)
    stall(out)
    running.start("watch", "--initial", "--json", stdout=out.writing)
    running.change(1)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == (killed_by(signal.SIGTERM), "")


@each_output("pipe", "socket", "tcp", "terminal")
def test_watch_ends_when_its_stalled_reader_goes(
    out: Output, running: RunningCommand
) -> None:
    """A hang-up is noticed although the reader has not read everything."""
    out.fill()
    running.start("watch", "--initial", stdout=out.writing)
    out.close(out.writing)
    close_reader(out)
    assert running.wait() == (0, "")


@each_output(*KINDS)
@pytest.mark.parametrize("blocking", [True, False])
def test_every_line_is_whole_when_the_stalled_reader_reads_on(
    out: Output, blocking: bool, running: RunningCommand
) -> None:
    """No line is lost, torn or out of order, and the shared O_NONBLOCK does not change."""
    if out.kind == "fifo":
        pytest.skip("a FIFO that is open for both has no end of file")
    out.set_blocking(blocking)
    out.fill()
    running.start(
        "watch", "--json", "--count=1000", "--max-buffer-size=1000", stdout=out.writing
    )
    running.change(1, 1000, wait=False)
    assert out.is_blocking() is blocking
    with out.being_read() as lines:
        assert running.wait() == (0, "")
        assert out.is_blocking() is blocking
        assert [json.loads(line)["port"] for line in lines()] == [*range(1, 1001)]


@each_output("pipe", "socket", "tcp", "terminal")
@pytest.mark.parametrize(
    "arguments",
    [
        simulated_command("port"),
        command("backends"),
        command("--help"),
        simulated_command("watch", "--initial", "--count=1"),
    ],
    ids=["port", "backends", "help", "watch"],
)
def test_command_waits_for_a_full_output_that_does_not_block(
    out: Output, arguments: list[str]
) -> None:
    """Node and some shells set O_NONBLOCK on an output that they share with a command."""
    out.set_blocking(False)
    out.fill()
    with subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=out.writing,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # longer than the command needs, if it does not wait
        with out.being_read() as lines:
            _, error = process.communicate(timeout=limit())
            assert (process.returncode, error) == (0, b"")
            assert lines()


@each_output("pipe")
def test_command_of_this_process_waits_for_a_full_output(
    out: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command of this process waits as well, so that its coverage is measured."""
    wait = _output._wait_until_writable
    read: list[Callable[[], list[str]]] = []

    def read_and_wait(number: int) -> None:
        if not read:
            read.append(stack.enter_context(out.being_read()))
        wait(number)

    monkeypatch.setattr(_output, "_wait_until_writable", read_and_wait)
    out.set_blocking(False)
    out.fill()
    with (
        ExitStack() as stack,
        as_standard_stream("stdout", out),
        use_backend(SimulatedBackend(5)),
    ):
        assert main(["port"]) == 0
        assert [lines() for lines in read] == [["5"]]


@each_output("pipe")
def test_ctrl_c_ends_a_port_whose_reader_is_stalled(out: Output) -> None:
    """Ctrl-C interrupts the write of a command that has no event loop."""
    out.fill()
    with subprocess.Popen(
        simulated_command("port"),
        stdin=subprocess.DEVNULL,
        stdout=out.writing,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        call = Path(f"/proc/{process.pid}/syscall")
        wait_until(lambda: call.read_text().split()[1:2] == ["0x1"], "a call with stdout")
        process.send_signal(signal.SIGINT)
        try:
            _, error = process.communicate(timeout=limit())
        finally:
            process.kill()
    assert (process.returncode, error) == (killed_by(signal.SIGINT), b"")
