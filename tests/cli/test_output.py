"""Standard output and error whose reader goes or stalls, of each kind."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from aioteredo import BackendError, SimulatedBackend, _new_thread, use_backend
from aioteredo._cli import output as _output
from aioteredo._cli.commands import main

from ..support.command import command, environment, killed_by, write_package
from ..support.outputs import KINDS, Output, output, reset
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import join, limit, start_thread, wait_until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="which descriptors tell that their reader goes"
)
CONNECTIONS = ["socket", "tcp"]


@pytest.fixture
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Output]:
    """An output of the kind that the test is parametrized with."""
    with output(request.param, tmp_path) as opened:
        yield opened


def kinds(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("out", names, indirect=True)


@contextmanager
def as_stream(name: str, out: Output) -> Iterator[None]:
    """Have *out* for a standard stream of this process."""
    with (
        open(out.writing, "w", encoding="utf-8", closefd=False) as stream,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, name, stream)
        yield


def simulated(*arguments: str) -> list[str]:
    name, *rest = arguments
    return command(name, "--backend", "simulated", *rest)


# the reader goes


def closes(out: Output) -> None:
    out.close(out.reading)


def shuts_down(out: Output) -> None:
    with out.reader() as connection:
        connection.shutdown(socket.SHUT_RDWR)


def resets(out: Output) -> None:
    with out.reader() as connection:
        reset(connection)
        out.close(out.reading)


def half_closes(out: Output) -> None:
    with out.reader() as connection:
        connection.shutdown(socket.SHUT_WR)


GOINGS = [
    ("pipe", closes),
    ("socket", closes),
    ("socket", shuts_down),
    ("tcp", closes),
    ("tcp", shuts_down),
    ("tcp", resets),
    ("tcp", half_closes),  # nobody can tell it from a close
    ("terminal", closes),
]


@pytest.mark.parametrize(("out", "goes"), GOINGS, indirect=["out"])
def test_watch_whose_reader_goes_ends_without_a_change(
    out: Output, goes: Callable[[Output], None], running: RunningCommand
) -> None:
    """The port may not change for days, and nobody reads it any more."""
    running.start("watch", "--initial", stdout=out.writing)
    assert out.read()
    out.close(out.writing)
    goes(out)
    assert running.wait() == (0, "")


@pytest.mark.parametrize(("out", "goes"), GOINGS, indirect=["out"])
def test_watch_whose_reader_goes_ends_in_this_process(
    out: Output, goes: Callable[[Output], None]
) -> None:
    """So it is where the coverage is measured."""

    def read_and_go() -> None:
        out.read()
        goes(out)

    with as_stream("stdout", out), use_backend(SimulatedBackend(5)):
        thread = start_thread(read_and_go)
        assert main(["watch", "--initial"]) == 0
        join(thread)


@kinds(*CONNECTIONS, "terminal")
def test_watch_goes_on_when_the_reader_sends_something(
    out: Output, running: RunningCommand
) -> None:
    """To inetd's socket or a terminal something may be sent, which nobody reads."""
    running.start("watch", "--json", stdout=out.writing)
    os.write(out.reading, b"hello\n")
    running.change(1)
    assert json.loads(out.read())["port"] == 1
    running.change(2)
    assert json.loads(out.read())["port"] == 2
    assert running.process.poll() is None


@kinds("socket")
def test_watch_goes_on_when_the_reader_has_no_more_to_send(
    out: Output, running: RunningCommand
) -> None:
    """``ssh -n`` ends the input of a remote command, and reads its output."""
    half_closes(out)
    running.start("watch", "--json", stdout=out.writing)
    running.change(1)
    assert json.loads(out.read())["port"] == 1


def test_node_that_ends_takes_the_watch_with_it(tmp_path: Path) -> None:
    """A child of Node has a socket for its standard output."""
    if sys.platform == "win32":
        raise NotImplementedError
    code = """
        const [file, ...rest] = JSON.parse(process.argv[1]);
        const child = require("child_process").spawn(file, rest,
            { stdio: ["ignore", "pipe", "ignore"] });
        child.stdout.once("data", () => { console.log(child.pid); process.exit(0); });
    """
    source = "from aioteredo import SimulatedBackend"
    write_package(tmp_path, "quiet", source, "quiet = quiet:SimulatedBackend")
    watch = command("watch", "--initial", "--backend", "quiet")
    try:
        pid = subprocess.check_output(
            ["node", "-e", code, json.dumps(watch)],
            env=environment(tmp_path),
            timeout=limit(),
        )
    except FileNotFoundError:
        pytest.skip("there is no Node.js")
    try:
        wait_until(lambda: not is_alive(int(pid)), "the end of the watch")
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether a process runs; the parent that adopted it may not have reaped it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except FileNotFoundError:
        return False
    return stat.rpartition(") ")[2][0] not in "ZX"


# the reader stalls


def stop(out: Output) -> None:
    """Press Ctrl-S."""
    if sys.platform == "win32":
        raise NotImplementedError
    import termios

    termios.tcflow(out.writing, termios.TCOOFF)


STALLS = [*((kind, Output.fill) for kind in KINDS), ("terminal", stop)]


@pytest.mark.parametrize(("out", "stall"), STALLS, indirect=["out"])
@pytest.mark.parametrize("blocking", [True, False])
def test_time_runs_out_while_the_reader_is_stalled(
    out: Output, stall: Callable[[Output], None], blocking: bool
) -> None:
    """``--timeout`` is kept although not a byte can be written."""
    out.set_blocking(blocking)
    stall(out)
    result = subprocess.run(
        simulated("watch", "--initial", "--timeout", "0.5"),
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
    """The line that cannot be written holds nothing up."""
    out.set_blocking(blocking)
    stall(out)
    running.start("watch", "--initial", "--json", stdout=out.writing)
    running.change(1)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == (killed_by(signal.SIGTERM), "")


@kinds("pipe", "socket", "tcp", "terminal")
def test_stalled_reader_that_goes_ends_the_watch(
    out: Output, running: RunningCommand
) -> None:
    """A reader that has not read everything goes like any other."""
    out.fill()
    running.start("watch", "--initial", stdout=out.writing)
    out.close(out.writing)
    closes(out)
    assert running.wait() == (0, "")


@kinds(*KINDS)
@pytest.mark.parametrize("blocking", [True, False])
def test_every_line_is_whole_when_the_stalled_reader_reads_on(
    out: Output, blocking: bool, running: RunningCommand
) -> None:
    """Nothing is lost, torn or out of order, and the shared flag is left alone."""
    if out.kind == "fifo":
        pytest.skip("it has no end that could be waited for")
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


@kinds("pipe", "socket", "tcp", "terminal")
@pytest.mark.parametrize(
    "arguments",
    [
        simulated("port"),
        command("backends"),
        command("--help"),
        simulated("watch", "--initial", "--count=1"),
    ],
    ids=["port", "backends", "help", "watch"],
)
def test_output_that_does_not_block_is_waited_for(
    out: Output, arguments: list[str]
) -> None:
    """Node and some shells set O_NONBLOCK on what they share with a command."""
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


@kinds("pipe")
def test_output_that_does_not_block_is_waited_for_in_this_process(
    out: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where the coverage is measured."""
    wait = _output._wait_until_writable
    read: list[Callable[[], list[str]]] = []

    def read_and_wait(number: int) -> None:
        if not read:
            read.append(stack.enter_context(out.being_read()))
        wait(number)

    monkeypatch.setattr(_output, "_wait_until_writable", read_and_wait)
    out.set_blocking(False)
    out.fill()
    with ExitStack() as stack, as_stream("stdout", out), use_backend(SimulatedBackend(5)):
        assert main(["port"]) == 0
        assert [lines() for lines in read] == [["5"]]


@kinds("pipe")
def test_ctrl_c_ends_a_port_whose_reader_is_stalled(out: Output) -> None:
    """A command without an event loop waits in the write itself."""
    out.fill()
    with subprocess.Popen(
        simulated("port"),
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


# errors


class Failing(io.RawIOBase):
    """A file that cannot be written to."""

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


def test_one_line_is_written_where_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A system that refuses a thread still gets the reason."""

    def refuse(*_: object, **__: object) -> None:
        raise BackendError("Thread.start", errno.EAGAIN, "errno")

    monkeypatch.setattr(_new_thread, "start_thread", refuse)
    assert main(["port", "--backend", "iphlpapi"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


# standard error


@kinds(*KINDS)
@pytest.mark.parametrize("blocking", [True, False])
def test_command_that_cannot_say_why_it_fails_ends(out: Output, blocking: bool) -> None:
    """A service manager learns of the failure although nobody reads stderr."""
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


@kinds("pipe")
def test_error_output_that_does_not_block_gets_the_whole_line(out: Output) -> None:
    """A long message is not torn where there is room for a part of it."""
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


@kinds("pipe", "socket", "terminal")
@pytest.mark.parametrize("blocking", [True, False])
def test_exec_follows_the_port_although_its_error_output_is_stalled(
    out: Output, blocking: bool, running: RunningCommand, runs: Runs
) -> None:
    """A complaint that nobody reads does not keep CMD from its next run."""
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


@kinds("pipe")
def test_only_the_first_line_is_waited_for_while_the_error_output_is_stalled(
    out: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are dropped: they would be written in a second each, if at all."""
    monkeypatch.setattr(_output, "STDERR_TIMEOUT", 0.01)
    out.fill()
    with as_stream("stderr", out):
        _output.report_error("first")
        monkeypatch.setattr(_output, "STDERR_TIMEOUT", 2 * limit())
        _output.report_error("dropped")
        with out.being_read() as lines:
            telling = _output._stderr_thread
            assert telling is not None
            join(telling)
            _output.report_error("last")
            assert lines() == ["aioteredo: first", "aioteredo: last"]
