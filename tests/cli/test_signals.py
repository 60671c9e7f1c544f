"""How a signal ends the command: as real processes, and as the kernel tells it."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aioteredo import __main__
from aioteredo._cli import commands as _cli
from aioteredo._cli import signals as _signals

from ..support.command import command, environment, killed_by, write_package
from ..support.requirements import require
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import kill_at_the_limit, limit

linux = pytest.mark.skipif(sys.platform != "linux", reason="signals as Linux has them")
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

# of a process that is at fault, and must not go on
FAULTS = {"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"}
OTHERS = [
    number
    for number in _signals.SIGNALS
    if number not in (signal.SIGINT, signal.SIGTERM)
    and (number < 32 or number in (_signals.SIGNALS[-1], _signals.SIGNALS[-2]))
]

# A backend that signals its own process, at the place that the environment names.
SIGNALLING = """
import atexit, os, signal, sys, time
from aioteredo import SimulatedBackend

def signalled(place):
    name, _, number = os.environ["SIGNAL"].partition(" ")
    if name == place:
        os.kill(os.getpid(), int(number))
        time.sleep(0.01)  # Python's own handler has run then, if there is one

class Backend(SimulatedBackend):
    def __init__(self):
        super().__init__(5)
        atexit.register(signalled, "exit")
        atexit.register(print, "exit functions run")

    def get_port(self):
        signalled("get_port")
        return super().get_port()

    def subscribe(self, sink, *, initial):
        signalled("subscribe")
        return super().subscribe(sink, initial=initial)
"""


@pytest.fixture
def signalling(tmp_path: Path) -> Callable[[str, int], dict[str, str]]:
    """Make the environment of a command that signals itself at one place."""
    write_package(tmp_path, "signalling", SIGNALLING, "signalling = signalling:Backend")

    def make(place: str, number: int) -> dict[str, str]:
        variables = {"SIGNAL": f"{place} {number:d}", "AIOTEREDO_BACKEND": "signalling"}
        return environment(tmp_path, **variables)

    return make


def ended(
    env: dict[str, str], *arguments: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *command(*arguments)],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=limit(),
        check=False,
    )


@linux
def test_the_signals_are_those_that_end_a_process() -> None:
    """Each signal whose default action ends a process is handled, the faults excepted."""
    if sys.platform == "win32":
        raise NotImplementedError
    ending = set()
    for number in sorted(signal.valid_signals() - {signal.SIGKILL}):
        script = ["sh", "-c", f"kill -{number:d} $$; exit 0"]
        process = subprocess.Popen(script, stderr=subprocess.DEVNULL)
        try:
            if os.WIFSIGNALED(os.waitpid(process.pid, os.WUNTRACED)[1]):
                ending.add(int(number))
                process.returncode = -number
        finally:
            process.kill()
            process.wait(limit())
    ignored_by_python = {signal.SIGPIPE, signal.SIGXFSZ}
    faults = {signal.Signals[name] for name in FAULTS}
    assert ending - ignored_by_python - faults == {*_signals.SIGNALS}


@posix
@pytest.mark.parametrize("number", OTHERS)
def test_each_signal_ends_cmd_before_exec(
    running: RunningCommand, runs: Runs, number: int
) -> None:
    """CMD is not left running by a signal that is rarely used."""
    running.start("exec", "--", *runs.cmd, "{port}")
    running.change(1)
    run = runs.next()
    running.process.send_signal(number)
    assert running.wait() == (killed_by(number), "")
    assert not run.is_running()


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_port_dies_of_the_signal(
    signalling: Callable[[str, int], dict[str, str]], number: int
) -> None:
    """A command without an event loop dies quietly, too."""
    done = ended(signalling("get_port", number), "port")
    assert (done.returncode, done.stdout, done.stderr) == (killed_by(number), "", "")


@posix
def test_python_m_dies_of_the_signal(
    signalling: Callable[[str, int], dict[str, str]],
) -> None:
    """``python -m aioteredo`` is the same command."""
    done = subprocess.run(
        [sys.executable, "-m", "aioteredo", "watch"],
        env=signalling("subscribe", signal.SIGINT),
        capture_output=True,
        timeout=limit(),
        check=False,
    )
    assert (done.returncode, done.stderr) == (killed_by(signal.SIGINT), b"")


@posix
def test_exit_functions_run_before_the_death(
    signalling: Callable[[str, int], dict[str, str]],
) -> None:
    """What another package does at the exit is done, and its output is flushed."""
    done = ended(signalling("subscribe", signal.SIGTERM), "watch")
    assert (done.returncode, done.stderr) == (killed_by(signal.SIGTERM), "")
    assert done.stdout == "exit functions run\n"


@posix
@pytest.mark.parametrize("name", ["port", "watch"])
def test_interrupted_at_the_exit(
    signalling: Callable[[str, int], dict[str, str]], name: str
) -> None:
    """Ctrl-C while the interpreter exits is as quiet as before."""
    arguments = ["watch", "--initial", "--count=1"] if name == "watch" else ["port"]
    done = ended(signalling("exit", signal.SIGINT), *arguments)
    assert (done.returncode, done.stderr) == (killed_by(signal.SIGINT), "")


@posix
@pytest.mark.parametrize("name", ["watch", "exec"])
def test_ctrl_c_ends_a_loop_of_the_shell(tmp_path: Path, name: str) -> None:
    """A shell goes on with the loop after a command that exits with 130."""
    if sys.platform == "win32":
        raise NotImplementedError
    bash = shutil.which("bash")
    require("bash", None if bash else "bash is not installed")
    assert bash is not None
    arguments = {
        "watch": "watch --initial --backend=simulated",
        "exec": "exec --initial --no-port=x --backend=simulated -- echo run",
    }[name]
    loop = f'while true; do "$@" {arguments}; done'
    process = subprocess.Popen(
        [bash, "-c", loop, "bash", *command()],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    timer = kill_at_the_limit(process)
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # a terminal signals the whole group
        assert process.wait(limit()) == killed_by(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    finally:
        timer.cancel()
        with contextlib.suppress(ProcessLookupError):  # The group has ended.
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@linux
def test_first_process_of_a_container_exits_with_the_status(
    signalling: Callable[[str, int], dict[str, str]],
) -> None:
    """The kernel protects it from its own signal, and 143 is what remains to be said."""
    unshare = ("unshare", "--pid", "--fork")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a PID namespace")
    done = ended(signalling("subscribe", signal.SIGTERM), "watch", before=unshare)
    assert (done.returncode, done.stderr) == (143, "")


@linux
def test_no_core_is_dumped_after_the_clean_up(
    tmp_path: Path, signalling: Callable[[str, int], dict[str, str]]
) -> None:
    """SIGQUIT ends the command without a dump of memory that shows nothing."""
    if sys.platform != "linux":
        raise NotImplementedError
    if Path("/proc/sys/kernel/core_pattern").read_text().startswith("|"):
        pytest.skip("a program gets the dump, and decides about the limit")
    process = subprocess.Popen(
        ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", *command("watch")],
        env=signalling("subscribe", signal.SIGQUIT),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    timer = kill_at_the_limit(process)
    try:
        end = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert end is not None
        assert (end.si_code, end.si_status) == (os.CLD_KILLED, signal.SIGQUIT)
    finally:
        timer.cancel()
        process.kill()
        process.wait(limit())


@posix
def test_ignored_ctrl_c_stays_ignored(running: RunningCommand, runs: Runs) -> None:
    """A background job of a shell goes on when the terminal gets Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        running.start("exec", "--", *runs.cmd, "{port}")
    finally:
        signal.signal(signal.SIGINT, before)
    running.process.send_signal(signal.SIGINT)
    running.change(1)
    runs.next()
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == (killed_by(signal.SIGTERM), "")


# in this process


@posix
@pytest.mark.parametrize("ignored", [False, True])
def test_dies_last_and_only_of_a_signal(
    monkeypatch: pytest.MonkeyPatch, ignored: bool
) -> None:
    """The entry point leaves an ignored Ctrl-C alone, and dies after all exit functions."""
    if sys.platform == "win32":
        raise NotImplementedError
    import resource

    registered: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    action = signal.SIG_IGN if ignored else signal.default_int_handler
    before = signal.signal(signal.SIGINT, action)
    received: list[int] = []
    try:
        for status in (0, 128 + signal.SIGURG):  # SIGURG ends nothing
            monkeypatch.setattr(_cli, "main", lambda argv, status=status: status)
            assert __main__.main() == status
            assert signal.getsignal(signal.SIGINT) == (
                signal.SIG_IGN if ignored else signal.SIG_DFL
            )
            monkeypatch.setattr(signal, "raise_signal", received.append)
            registered.pop()()
            assert not registered
    finally:
        signal.signal(signal.SIGINT, before)
        resource.setrlimit(resource.RLIMIT_CORE, limits)
    assert received == [signal.SIGURG]
