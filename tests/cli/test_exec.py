"""``aioteredo exec``: a command on each change, as real processes."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from aioteredo import BackendError, SimulatedBackend, use_backend
from aioteredo._cli import exec as _exec
from aioteredo._cli.commands import main
from aioteredo._cli.exec import follow
from aioteredo._cli.process_group import Children
from aioteredo._cli.process_group import posix as _process_group
from aioteredo._cli.signals import Signals

from ..support import loops
from ..support.command import CMD, Run, Running, Runs, death, wait_until_full
from ..support.waiting import eventually, limit, wait_until

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
linux = pytest.mark.skipif(
    sys.platform != "linux", reason="how much a pipe holds is known of Linux"
)
# The command line runs asyncio's own loop, which is the first one.
its_loop = pytest.mark.parametrize("loop_name", [*loops.ASYNCIO_LOOPS][:1], indirect=True)
STOPS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}
if sys.platform == "win32":  # raised: under Wine no Ctrl-Break of a console comes
    STOPS["SIGBREAK"] = signal.SIGBREAK


def test_fills_in_the_port(running: Running, runs: Runs) -> None:
    """The port goes into the arguments and the environment, that of the run before too."""
    running.start("exec", "--", *runs.cmd, "{ {port} } {port}{}")
    running.change(51234)
    run = runs.next()
    assert (run.argument, run.port, run.previous) == (
        "{ 51234 } 51234{}",
        "51234",
        "",
    )
    run.finish()
    running.change(60123)
    run = runs.next()
    assert (run.argument, run.port, run.previous) == (
        "{ 60123 } 60123{}",
        "60123",
        "51234",
    )


def test_begins_with_the_port_as_it_is(running: Running, runs: Runs) -> None:
    """With ``--initial`` CMD runs before anything has changed."""
    running.start("exec", "--initial", "--no-port", "none", "--", *runs.cmd, "{port}")
    assert runs.next().argument == "none"


@pytest.mark.parametrize("on_busy", ["latest", "queue", "restart"])
def test_no_port(running: Running, runs: Runs, on_busy: str) -> None:
    """Without ``--no-port``, nothing runs while there is no port."""
    running.start("exec", "--initial", "--on-busy", on_busy, "--", *runs.cmd, "{port}")
    running.change(1)
    runs.next().finish()
    running.change(None)
    running.change(2)
    run = runs.next()
    assert (run.port, run.previous) == ("2", "1")


@pytest.mark.parametrize("text", ["none", ""])
def test_no_port_text(running: Running, runs: Runs, text: str) -> None:
    """With ``--no-port``, its text stands for the port, also as the one before."""
    running.start("exec", f"--no-port={text}", "--", *runs.cmd, "<{port}>")
    running.change(None)
    run = runs.next()
    assert (run.argument, run.port, run.previous) == (f"<{text}>", text, "")
    run.finish()
    running.change(7)
    run = runs.next()
    assert (run.port, run.previous) == ("7", text)


def test_restart_ends_what_runs_for_a_port_that_is_gone(
    running: Running, runs: Runs
) -> None:
    """``--on-busy restart`` ends CMD when there is no port any more."""
    running.start("exec", "--on-busy", "restart", "--", *runs.cmd, "{port}")
    running.change(1)
    run = runs.next()
    running.change(None)
    run.wait_until_gone()


def test_queue_runs_for_each(running: Running, runs: Runs) -> None:
    """``queue`` runs one after the other, for each change, in order."""
    running.start("exec", "--on-busy", "queue", "--", *runs.cmd, "{port}")
    running.change(1)
    first = runs.next()
    running.change(2, 20)
    first.finish()
    for port in range(2, 21):
        run = runs.next()
        assert (run.port, run.previous) == (str(port), str(port - 1))
        run.finish()


def test_latest_under_a_thousand_rapid_changes(running: Running, runs: Runs) -> None:
    """By default CMD finishes, and is then run once, for the newest port."""
    running.start("exec", "--", *runs.cmd, "{port}")
    running.change(1)
    first = runs.next()
    running.change(2, 1000)
    first.finish()
    run = runs.next()
    assert (run.port, run.previous) == ("1000", "1")
    run.finish()
    running.change(2000)  # and no other run before this one
    assert runs.next().port == "2000"


def test_restart_under_a_thousand_rapid_changes(running: Running, runs: Runs) -> None:
    """``restart`` ends CMD, and what runs in the end is for the newest."""
    running.start("exec", "--on-busy", "restart", "--", *runs.cmd, "{port}")
    running.change(1)
    first = runs.next()
    running.change(2, 1000)
    first.wait_until_gone()
    ports = [1]
    while ports[-1] != 1000:
        run = runs.next()
        ports.append(int(run.port))
    assert ports == sorted(set(ports))
    running.change(2000)
    run.wait_until_gone()
    assert runs.next().port == "2000"


@posix
@pytest.mark.timeout(300)
@pytest.mark.parametrize("last", [1000, 3000])
def test_queue_under_thousands_of_rapid_changes(
    running: Running, tmp_path: Path, last: int
) -> None:
    """``queue`` runs for the newest 1,024 that waited, and says how many are lost."""
    if sys.platform == "win32":
        raise NotImplementedError
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    running.times = 5
    cmd = f"[ $TEREDO_PORT != 1 ] || {{ echo 1; read x <{fifo}; exit; }}; echo {{port}}"
    running.start("exec", "--on-busy", "queue", "--", "sh", "-c", cmd)
    running.change(1)
    assert running.line() == "1"
    running.change(2, last)
    fifo.write_text("go on\n")
    for port in range(max(2, last - 1023), last + 1):
        assert running.line() == str(port)
    running.process.send_signal(signal.SIGTERM)
    dropped = last - 1 - 1024
    lost = f"aioteredo: {dropped} changes dropped: more than 1024 waited\n"
    assert running.wait() == (death(signal.SIGTERM), lost if dropped > 0 else "")


def test_failing_is_reported(running: Running, runs: Runs) -> None:
    """CMD failing is one line, and the next change is followed."""
    running.start("exec", "--", *runs.cmd, "{port}")
    running.change(1)
    runs.next().finish(3)
    running.change(2)
    runs.next()
    running.post("signal", signal.SIGINT.value)
    failed = f"aioteredo: port 1: {sys.executable!r} failed: exit status 3\n"
    assert running.wait() == (death(signal.SIGINT), failed)


def test_fail_fast(running: Running, runs: Runs) -> None:
    """With ``--fail-fast``, CMD failing is the end."""
    running.start("exec", "--fail-fast", "--", *runs.cmd, "{port}")
    running.change(1)
    runs.next().finish(3)
    failed = f"aioteredo: port 1: {sys.executable!r} failed: exit status 3\n"
    assert running.wait() == (1, failed)


@posix
def test_killed_by_a_signal(running: Running, runs: Runs) -> None:
    """CMD that a signal kills has failed, and the signal is named."""
    if sys.platform == "win32":
        raise NotImplementedError
    running.start("exec", "--on-busy", "restart", "--fail-fast", "--", *runs.cmd, "{port}")
    running.change(1)
    os.kill(runs.next().pid, signal.SIGKILL)
    status, error = running.wait()
    assert (status, error.split(" failed: ")[1]) == (1, "killed by SIGKILL\n")


def test_cannot_be_started(running: Running, runs: Runs) -> None:
    """CMD that cannot be started has failed as well; it was no run."""
    running.start("exec", "--", sys.executable + "{port}")
    running.change(1)
    running.change(None)
    running.post("fail", 31)  # it may end before it could answer
    status, error = running.wait()
    first, second = error.splitlines()
    assert status == 1
    assert first.startswith(f"aioteredo: port 1: cannot run {sys.executable + '1'!r}: ")
    assert second.startswith("aioteredo: GetTeredoPort: [WinError 31] ERROR_GEN_FAILURE")


@pytest.mark.parametrize("on_busy", ["latest", "queue", "restart"])
def test_backend_fails(running: Running, runs: Runs, on_busy: str) -> None:
    """A backend that fails is one line, and the end, with nothing left running."""
    running.start("exec", "--on-busy", on_busy, "--", *runs.cmd, "{port}")
    running.change(1)
    run = runs.next()
    if on_busy == "restart":
        running.post("fail", 31)  # it may end before it could answer
    else:
        running.tell("fail", 31)
        run.finish()
    status, error = running.wait()
    assert status == 1
    assert not run.is_there()
    assert error.startswith("aioteredo: GetTeredoPort: [WinError 31] ERROR_GEN_FAILURE")
    assert error.count("\n") == 1


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("on_busy", ["latest", "queue", "restart"])
def test_stopped_while_it_waits(running: Running, on_busy: str, stop: str) -> None:
    """A signal ends it at once and without a word; the status says which."""
    running.start("exec", "--on-busy", on_busy, "--", sys.executable)
    running.post("signal", STOPS[stop].value)
    assert running.wait() == (death(STOPS[stop]), "")


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("on_busy", ["latest", "queue", "restart"])
def test_stopped_while_cmd_runs(
    running: Running, runs: Runs, on_busy: str, stop: str
) -> None:
    """A signal ends CMD, and what CMD has started; nothing is left behind."""
    how = [] if sys.platform == "win32" else ["parent"]
    running.start("exec", "--on-busy", on_busy, "--", *runs.cmd, *how, "{port}")
    running.change(1)
    running_ones = [runs.next() for _ in range(1 + len(how))]
    running.post("signal", STOPS[stop].value)
    assert running.wait() == (death(STOPS[stop]), "")
    assert not any(run.is_there() for run in running_ones)


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_stopped_from_outside(running: Running, runs: Runs, name: str) -> None:
    """The signal of another process does the same."""
    number = signal.Signals[name]
    running.start("exec", "--", *runs.cmd, "parent", "{port}")
    running.change(1)
    running_ones = [runs.next(), runs.next()]
    running.process.send_signal(number)
    assert running.wait() == (death(number), "")
    assert not any(run.is_there() for run in running_ones)


@contextlib.contextmanager
def without_the_right_to_signal_others() -> Iterator[None]:
    """Have this thread do without CAP_KILL, which what it starts has again."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can start another user's process")

    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    libc = ctypes.CDLL(None, use_errno=True)
    header = Header(0x20080522, 0)
    before, without = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    for sets in (before, without):
        assert libc.capget(ctypes.byref(header), sets) == 0
    without[0] &= ~(1 << 5)  # CAP_KILL among the effective ones
    assert libc.capset(ctypes.byref(header), without) == 0
    try:
        yield
    finally:
        assert libc.capset(ctypes.byref(header), before) == 0


@its_loop
async def test_may_not_be_signalled(
    runs: Runs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CMD that has become another user cannot be ended: that is said, and it awaited."""
    for name in ("GRACE", "_KILLED"):
        monkeypatch.setattr(_process_group, name, 0.0)  # it may take any time
    with without_the_right_to_signal_others():
        async with anyio.create_task_group() as group:
            following = Following(runs, group, on_busy="restart")
            await following.start(*runs.cmd, "another-user", "{port}")
            following.client.set_port(1)
            first = await following.next()
            following.client.set_port(2)
            said = ""

            def has_said() -> bool:
                nonlocal said
                said = capsys.readouterr().err
                return bool(said)

            await eventually(has_said, "a line on the error output")
            assert first.is_there()
            first.finish()
            second = await following.next()
            second.finish()
            group.cancel_scope.cancel()
    assert (first.argument, second.argument) == ("1", "2")
    refused = "Operation not permitted; waiting for it"
    name = f"{sys.executable!r} (pid {first.pid})"
    assert said == f"aioteredo: cannot end {name}: {refused}\n"


# A leader that waits, and a child of it that becomes another user.
MEMBER_OF_ANOTHER_USER = """
import os, signal, socket, sys
if os.fork():
    signal.pause()
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    os.setuid(65534)
    connection.sendall(repr((os.getpid(), ["", "", ""])).encode() + b"\\n")
    connection.recv(1)
"""


@posix
@its_loop
@pytest.mark.parametrize("proc", [True, False], ids=["proc", "no-proc"])
async def test_member_may_not_be_signalled(
    runs: Runs,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    proc: bool,
) -> None:
    """A process of CMD's group that has become another user is waited for, too."""
    if sys.platform == "win32":
        raise NotImplementedError
    for name in ("GRACE", "_KILLED", "_POLL_REFUSED"):
        monkeypatch.setattr(_process_group, name, 0.0)  # it may take any time
    if not proc:
        monkeypatch.setattr(_process_group, "_members", lambda _: {})
    looks = 0
    find_refusal = _process_group._find_refusal

    def look(group: int) -> tuple[int, str] | None:
        nonlocal looks
        looks += 1
        return find_refusal(group)

    monkeypatch.setattr(_process_group, "_find_refusal", look)
    with without_the_right_to_signal_others():
        async with anyio.create_task_group() as group:
            following = Following(runs, group)
            code = MEMBER_OF_ANOTHER_USER
            await following.start(sys.executable, "-ISc", code, runs.cmd[-1])
            following.client.set_port(1)
            member = await following.next()
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                # Looks go on after the time limits, because the member is waited for.
                await eventually(lambda: looks > 10, "many looks at the group")
            assert member.is_there()
            member.finish()
    assert not member.is_there()
    refused = r"Operation not permitted; waiting for it\n"
    name = rf"{sys.executable!r} \(pid \d+\)"
    said = capsys.readouterr().err
    assert re.fullmatch(f"aioteredo: cannot end {name}: {refused}", said)


@linux
def test_may_not_be_signalled_and_stalled(running: Running, runs: Runs) -> None:
    """A signal ends also the wait for who reads that, and CMD is awaited still."""
    if sys.platform == "win32":
        raise NotImplementedError
    from ..support.seccomp import on_a_thread

    if os.geteuid() != 0:
        pytest.skip("only root can start another user's process")
    prctl, drop_from_bounding_set, cap_kill = ctypes.CDLL(None).prctl, 24, 5
    reading, writing = os.pipe()
    with open(reading, "rb"), open(writing, "wb") as stderr:
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writing, b"full"):
                pass
        os.set_blocking(writing, True)

        def start() -> None:  # on a thread, for what it drops is gone for good
            assert prctl(drop_from_bounding_set, cap_kill, 0, 0, 0) == 0
            cmd = [*runs.cmd, "another-user", "{port}"]
            running.start("exec", "--", *cmd, stderr=stderr)

        on_a_thread(start)
        running.change(1)
        run = runs.next()
        running.process.send_signal(signal.SIGTERM)
        assert run.is_there()
        run.finish()

        def has_ended() -> bool:
            running.process.send_signal(signal.SIGTERM)
            return running.process.poll() is not None

        wait_until(has_ended, "the end of the command")
        assert running.process.returncode == death(signal.SIGTERM)


@linux
@pytest.mark.parametrize("on_busy", ["latest", "queue", "restart"])
def test_stalled_error_output(running: Running, on_busy: str) -> None:
    """A signal ends it also while it waits for the reader of a full stderr."""
    running.start("exec", "--on-busy", on_busy, "--", "{port}" + "x" * 70_000)
    running.change(1)
    wait_until_full(running.process.stderr)
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(limit()) == death(signal.SIGTERM)


@posix
def test_ignored_signal_stays_ignored(running: Running, runs: Runs) -> None:
    """Under nohup, a terminal that goes ends nothing."""
    if sys.platform == "win32":
        raise NotImplementedError
    signals = {signal.SIGHUP, signal.SIGTERM}
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        running.start("exec", "--", *runs.cmd, "{port}")  # it inherits what is ignored
    finally:
        signal.signal(signal.SIGHUP, before)
    for number in sorted(signals):
        running.process.send_signal(number)
    assert running.wait() == (death(signal.SIGTERM), "")


@posix
def test_leaves_the_terminal_alone(running: Running, runs: Runs) -> None:
    """CMD is in a session of its own, and its standard input is empty."""
    code = "import os, sys; print(os.getsid(0) == os.getpid(), repr(sys.stdin.read()))"
    running.start("exec", "--", sys.executable, "-ISc", code, stdin=subprocess.PIPE)
    running.change(1)
    assert running.line() == "True ''"


# in this process


def skip_where_no_process_starts() -> None:
    if sys.platform == "win32":
        with contextlib.suppress(RuntimeError):  # trio has no such loop
            if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
                pytest.skip("the Selector loop of Windows starts no processes")


class Following:
    """``follow`` in a task, over a client and runs."""

    def __init__(self, runs: Runs, group: anyio.abc.TaskGroup, **options: object) -> None:
        self.client = SimulatedBackend()
        self.status: int | None = None
        self._runs = runs
        self._options = {
            "initial": False,
            "backend": self.client,
            "on_busy": "queue",
            "no_port": None,
            "fail_fast": False,
        } | options
        self._group = group

    async def start(self, *arguments: str) -> None:
        async def run() -> None:
            self.status = await follow(arguments, Signals(), **self._options)  # type: ignore[arg-type]

        self._group.start_soon(run)
        await eventually(lambda: self.client.subscriber_count, "a watch is open")

    async def next(self) -> Run:
        return await anyio.to_thread.run_sync(self._runs.next)

    async def start_parent(self) -> list[Run]:
        """Have CMD run with a child, in whichever order the two come."""
        await self.start(*self._runs.cmd, "parent", "{port}")
        self.client.set_port(1)
        return [await self.next(), await self.next()]


@posix
@its_loop
async def test_cancelled_while_cmd_runs(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled, it ends CMD and all that CMD has started, and only then returns."""
    monkeypatch.setenv("CMD", CMD)
    async with anyio.create_task_group() as group:
        following = Following(runs, group)
        running_ones = await following.start_parent()
        group.cancel_scope.cancel()
    assert not any(run.is_there() for run in running_ones)


@posix
@its_loop
@pytest.mark.parametrize("how", [["stubborn"], ["parent", "stubborn"]], ids=len)
async def test_stubborn_cmd_is_killed(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, how: list[str]
) -> None:
    """What does not end when asked is killed, CMD or what it has started."""
    monkeypatch.setenv("CMD", CMD)
    monkeypatch.setattr(_process_group, "GRACE", 0.05)
    monkeypatch.setattr(_process_group, "_KILLED", math.inf)
    async with anyio.create_task_group() as group:
        following = Following(runs, group)
        await following.start(*runs.cmd, *how, "{port}")
        following.client.set_port(1)
        running_ones = [await following.next() for _ in how]
        group.cancel_scope.cancel()
    assert not any(run.is_there() for run in running_ones)


@contextlib.contextmanager
def child_subreaper() -> Iterator[None]:
    """Have this process adopt orphans, as the first process of a container does."""
    if sys.platform != "linux":
        pytest.skip("needs Linux' PR_SET_CHILD_SUBREAPER")
    prctl = ctypes.CDLL(None).prctl
    set_child_subreaper = 36
    assert prctl(set_child_subreaper, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        prctl(set_child_subreaper, 0, 0, 0, 0)


@posix
@its_loop
async def test_orphans_are_reaped(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the first process of a container, it does not wait for what has ended."""
    if sys.platform == "win32":
        raise NotImplementedError
    monkeypatch.setenv("CMD", CMD)
    monkeypatch.setattr(_process_group, "GRACE", math.inf)
    with child_subreaper():
        async with anyio.create_task_group() as group:
            following = Following(runs, group)
            both = await following.start_parent()
            group.cancel_scope.cancel()
        for run in both:
            with pytest.raises(ChildProcessError):
                os.waitpid(run.pid, os.WNOHANG)


@posix
@its_loop
async def test_child_that_ended_before_is_reaped() -> None:
    """As the first process of a container, exec also reaps what it has inherited."""
    if sys.platform != "linux":
        pytest.skip("needs Linux' PR_SET_CHILD_SUBREAPER")
    with child_subreaper():
        pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with Children(), pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


WITHOUT_ITS_FIRST_THREAD = """
import ctypes, os, signal, socket, sys, threading
if os.fork():
    signal.pause()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def go_on():
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        while open(f"/proc/{os.getpid()}/stat").read().rpartition(") ")[2][0] != "Z":
            pass
        connection.sendall(repr((os.getpid(), ["", "", ""])).encode() + b"\\n")
        connection.recv(1)
threading.Thread(target=go_on).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' /proc")
@its_loop
async def test_what_goes_on_without_its_first_thread_is_killed(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process whose other threads go on has not ended, though it shows as a zombie."""
    monkeypatch.setattr(_process_group, "GRACE", 0.05)
    monkeypatch.setattr(_process_group, "_KILLED", math.inf)
    async with anyio.create_task_group() as group:
        following = Following(runs, group)
        code = WITHOUT_ITS_FIRST_THREAD
        await following.start(sys.executable, "-ISc", code, runs.cmd[-1])
        following.client.set_port(1)
        run = await following.next()
        group.cancel_scope.cancel()
    await anyio.to_thread.run_sync(run.wait_until_gone)


@posix
@its_loop
async def test_cancelled_when_cmd_has_ended_untold(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What CMD has left running is left alone, also if its end is still to be heard of."""
    monkeypatch.setenv("CMD", CMD)
    async with anyio.create_task_group() as group:
        following = Following(runs, group)
        first, second = await following.start_parent()
        leader, other = (first, second) if is_leader(first) else (second, first)
        leader.finish()
        # The loop has no turn until then, so nobody has told it of the end.
        wait_until(lambda: not leader.is_there(), "the end of CMD")
        group.cancel_scope.cancel()
    assert other.is_there()
    other.finish()


def is_leader(run: Run) -> bool:
    if sys.platform == "win32":
        raise NotImplementedError
    return os.getpgid(run.pid) == run.pid


UNREAPED = """
import os, signal, socket, sys
if os.fork():
    signal.pause()
if not os.fork():
    signal.pause()
os.setsid()  # only now: its child stays in the group, and it reaps no child
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(repr((os.getpid(), ["", "", ""])).encode() + b"\\n")
    connection.recv(1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' /proc")
@its_loop
async def test_what_nobody_reaps_is_not_waited_for(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has ended is not there any more, also if its parent never asks."""
    monkeypatch.setattr(_process_group, "GRACE", math.inf)
    async with anyio.create_task_group() as group:
        following = Following(runs, group)
        await following.start(sys.executable, "-ISc", UNREAPED, runs.cmd[-1])
        following.client.set_port(1)
        parent = await following.next()
        group.cancel_scope.cancel()
    assert parent.is_there()
    parent.finish()


@its_loop
@pytest.mark.parametrize(
    ("ports", "lost"), [([2, 3, 4, None, 5], "2 changes"), ([3, 4, None, 5], "1 change")]
)
async def test_queue_that_is_full(
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ports: list[int | None],
    lost: str,
) -> None:
    """What did not fit into the queue is said, and the newest is run."""
    skip_where_no_process_starts()
    monkeypatch.setattr(_exec, "QUEUE_SIZE", 3)
    async with anyio.create_task_group() as group:
        following = Following(runs, group)
        await following.start(*runs.cmd, "{port}")
        following.client.set_port(1)
        first = await following.next()
        following.client.burst(ports)
        first.finish()
        second = await following.next()
        second.finish(3)
        third = await following.next()
        assert (second.port, third.port) == ("4", "5")
        group.cancel_scope.cancel()
    dropped, failed = capsys.readouterr().err.splitlines()
    assert dropped == f"aioteredo: {lost} dropped: more than 3 waited"
    assert failed == f"aioteredo: port 4: {sys.executable!r} failed: exit status 3"


@posix
@its_loop
async def test_restart_with_the_newest(runs: Runs) -> None:
    """What has come while CMD was being ended is not run for, but for the newest."""
    async with anyio.create_task_group() as group:
        following = Following(runs, group, on_busy="restart")
        await following.start(*runs.cmd, "stubborn", "{port}")
        following.client.set_port(1)
        first = await following.next()
        for port in (2, 3, 4):
            following.client.set_port(port)
            await following.client.wait_until_drained(limit())
        first.finish()
        second = await following.next()
        assert (second.port, second.previous) == ("4", "1")
        second.finish()
        group.cancel_scope.cancel()


@its_loop
async def test_restart_until_the_backend_fails(runs: Runs) -> None:
    """A change ends CMD; a backend that fails does as well, and comes out as it is."""
    skip_where_no_process_starts()
    with pytest.RaisesGroup(pytest.RaisesExc(BackendError, match="GetTeredoPort")):
        async with anyio.create_task_group() as group:
            following = Following(runs, group, on_busy="restart", no_port="none")
            await following.start(*runs.cmd, "{port}")
            following.client.set_port(1)
            first = await following.next()
            following.client.set_port(None)
            second = await following.next()
            following.client.fail(BackendError("GetTeredoPort", 31))
    assert not first.is_there()
    assert not second.is_there()
    assert second.port == "none"


@pytest.mark.parametrize("separator", [["--"], []])
def test_fail_fast_in_this_process(
    separator: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The separator may be left out, where CMD begins is clear."""
    cmd = [sys.executable, "-c", "raise SystemExit(3)", "--", "--initial"]
    with use_backend(SimulatedBackend(5)):
        assert main(["exec", "--fail-fast", "--initial", *separator, *cmd]) == 1
    assert capsys.readouterr().err.endswith(" failed: exit status 3\n")


def test_cannot_be_started_in_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is the system's, and the name is as it was to be started."""
    with use_backend(SimulatedBackend(5)):
        assert main(["exec", "--fail-fast", "--initial", "no-such-command-{port}"]) == 1
    assert capsys.readouterr().err.startswith(
        "aioteredo: port 5: cannot run 'no-such-command-5': "
    )


@posix
@pytest.mark.parametrize(
    ("number", "name"), [("KILL", "SIGKILL"), (40, "signal 40")], ids=["named", "without"]
)
def test_signal_is_named(
    number: object, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signal has its name, or its number if it has none."""
    if number == 40 and sys.platform != "linux":
        pytest.skip("no realtime signals")
    with use_backend(SimulatedBackend(5)):
        cmd = ["sh", "-c", f"kill -{number} $$"]
        assert main(["exec", "--fail-fast", "--initial", "--", *cmd]) == 1
    assert capsys.readouterr().err == f"aioteredo: port 5: 'sh' failed: killed by {name}\n"
