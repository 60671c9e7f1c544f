"""Signals that end the command: which ones, and how its process dies of them."""

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
from typing import TypeAlias

import pytest

from aioteredo import __main__
from aioteredo._cli import commands
from aioteredo._cli.signals import SIGNALS

from ..support.command import (
    command,
    environment,
    killed_by,
    run,
    run_interpreter,
    write_package,
)
from ..support.requirements import require
from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import kill_at_the_limit, limit
from .marks import linux, posix

# The kernel sends these to a process that is at fault and must not go on.
FAULTS = {"SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSEGV", "SIGSYS", "SIGTRAP"}

# SIGINT and SIGTERM have their own tests. Of the realtime signals, two are enough.
RARE_SIGNALS = [
    number
    for number in SIGNALS
    if number not in (signal.SIGINT, signal.SIGTERM)
    and (number < 32 or number in (SIGNALS[-1], SIGNALS[-2]))
]

# A backend that signals its own process, in the function that the environment names.
SIGNALLING = """
import atexit, os, signal, sys, time
from aioteredo import SimulatedBackend

def signal_if_named(place):
    name, _, number = os.environ["SIGNAL"].partition(" ")
    if name == place:
        os.kill(os.getpid(), int(number))
        time.sleep(0.01)  # so that a Python handler of the signal runs first

class Backend(SimulatedBackend):
    def __init__(self):
        super().__init__(5)
        atexit.register(signal_if_named, "exit")
        atexit.register(print, "exit functions run")

    def get_port(self):
        signal_if_named("get_port")
        return super().get_port()

    def subscribe(self, sink, *, initial):
        signal_if_named("subscribe")
        return super().subscribe(sink, initial=initial)
"""

MakeEnvironment: TypeAlias = Callable[[str, int], dict[str, str]]


@pytest.fixture
def make_environment(tmp_path: Path) -> MakeEnvironment:
    """Return a function for the environment of a command that signals itself.

    Its arguments are the place, as ``get_port``, ``subscribe`` or ``exit``, and the signal.
    """
    write_package(tmp_path, "signalling", SIGNALLING, "signalling = signalling:Backend")

    def make(place: str, number: int) -> dict[str, str]:
        variables = {"SIGNAL": f"{place} {number:d}", "AIOTEREDO_BACKEND": "signalling"}
        return environment(tmp_path, **variables)

    return make


@linux
def test_handled_signals_are_those_that_end_a_process() -> None:
    """Each signal whose default action ends a process is handled, except for faults."""
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
    assert ending - ignored_by_python - faults == {*SIGNALS}


@posix
@pytest.mark.parametrize("number", RARE_SIGNALS)
def test_rare_signal_ends_cmd_before_exec(
    running: RunningCommand, runs: Runs, number: int
) -> None:
    """No signal that ends ``exec`` leaves CMD running."""
    running.start("exec", "--", *runs.cmd, "{port}")
    running.change(1)
    run = runs.next()
    running.process.send_signal(number)
    assert running.wait() == (killed_by(number), "")
    assert not run.is_running()


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_kills_port_quietly(make_environment: MakeEnvironment, number: int) -> None:
    """``port``, which has no event loop, dies of a signal without output."""
    done = run("port", env=make_environment("get_port", number))
    assert (done.returncode, done.stdout, done.stderr) == (killed_by(number), "", "")


@posix
def test_ctrl_c_kills_python_m_quietly(
    make_environment: MakeEnvironment,
) -> None:
    """``python -m aioteredo`` dies of Ctrl-C without output, like the script."""
    env = make_environment("subscribe", signal.SIGINT)
    done = run_interpreter("-m", "aioteredo", "watch", env=env)
    assert (done.returncode, done.stderr) == (killed_by(signal.SIGINT), "")


@posix
def test_exit_functions_run_before_the_death(
    make_environment: MakeEnvironment,
) -> None:
    """The process dies only after all exit functions, and after a flush of its output."""
    done = run("watch", env=make_environment("subscribe", signal.SIGTERM))
    assert (done.returncode, done.stderr) == (killed_by(signal.SIGTERM), "")
    assert done.stdout == "exit functions run\n"


@posix
@pytest.mark.parametrize("name", ["port", "watch"])
def test_ctrl_c_during_the_exit_kills_the_command_quietly(
    make_environment: MakeEnvironment, name: str
) -> None:
    """Ctrl-C while the interpreter exits prints no traceback."""
    arguments = ["watch", "--initial", "--count=1"] if name == "watch" else ["port"]
    done = run(*arguments, env=make_environment("exit", signal.SIGINT))
    assert (done.returncode, done.stderr) == (killed_by(signal.SIGINT), "")


@posix
@pytest.mark.parametrize("name", ["watch", "exec"])
def test_ctrl_c_ends_a_loop_of_the_shell(tmp_path: Path, name: str) -> None:
    """The shell ends its loop, because the command dies of the signal."""
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

        # A terminal signals the whole process group.
        os.killpg(process.pid, signal.SIGINT)
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
    make_environment: MakeEnvironment,
) -> None:
    """Linux discards the signal of such a process to itself, so it exits with 143."""
    unshare = ("unshare", "--pid", "--fork")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a PID namespace")
    done = run("watch", prefix=unshare, env=make_environment("subscribe", signal.SIGTERM))
    assert (done.returncode, done.stderr) == (143, "")


@linux
def test_no_core_is_dumped_after_the_clean_up(
    tmp_path: Path, make_environment: MakeEnvironment
) -> None:
    """SIGQUIT leaves no dump, which would show the memory after the clean-up."""
    if sys.platform != "linux":
        raise NotImplementedError
    if Path("/proc/sys/kernel/core_pattern").read_text().startswith("|"):
        pytest.skip("a program gets the dump and may ignore the limit of its size")
    process = subprocess.Popen(
        ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", *command("watch")],
        env=make_environment("subscribe", signal.SIGQUIT),
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
    """Ctrl-C does not end a background job of a shell, which ignores SIGINT."""
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


@posix
@pytest.mark.parametrize("ignored", [False, True])
def test_exit_function_of_main_dies_only_of_a_signal(
    monkeypatch: pytest.MonkeyPatch, ignored: bool
) -> None:
    """The exit function of ``main()`` dies of the signal, if one has ended the command."""
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
        # The default action of SIGURG is to do nothing, so the tests survive it.
        for status in (0, 128 + signal.SIGURG):
            monkeypatch.setattr(commands, "main", lambda argv, status=status: status)
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
