"""The command line, as real processes; ``exec`` has a module of its own."""

from __future__ import annotations

import contextlib
import ctypes.util
import errno
import io
import json
import os
import pickle
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import anyio
import pytest

import aioteredo
from aioteredo import BackendError, PortEvent, SimulatedBackend, __main__, use_backend
from aioteredo._cli import formats as _lines
from aioteredo._cli import signals as _signals
from aioteredo._cli.commands import main
from aioteredo._errors import NoDefaultBackendError

from ..support.command import (
    VARIABLES,
    Running,
    command,
    death,
    environment,
    is_full,
    run,
    wait_until_full,
    write_package,
)
from ..support.waiting import join, limit, start_thread, wait_until

MODULE = str(Path(aioteredo.__file__).with_name("__main__.py"))
linux = pytest.mark.skipif(
    sys.platform != "linux", reason="how much a pipe holds is known of Linux"
)
STOPS = ["SIGINT", "SIGTERM", *(["SIGBREAK"] if sys.platform == "win32" else [])]
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of it")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_as_a_module() -> None:
    """``python -m aioteredo`` is the command, and calls itself so."""
    result = subprocess.run(
        [sys.executable, "-m", "aioteredo", "port", "--backend", "no-such-backend"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=limit(),
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith(b"usage: aioteredo port ")


def test_as_a_module_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit status is that of the command."""
    monkeypatch.setattr(sys, "argv", ["aioteredo", "port"])
    monkeypatch.setattr("atexit.register", lambda function: None)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with use_backend(SimulatedBackend()), pytest.raises(SystemExit) as raised:
            runpy.run_path(MODULE, run_name="__main__")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert raised.value.code == 3


def test_as_a_module_imported() -> None:
    """Importing that module runs nothing."""
    runpy.run_path(MODULE, run_name="aioteredo.__main__")


# port


def test_port(capsys: pytest.CaptureFixture[str]) -> None:
    """``port`` prints the port, as a number or as an object."""
    with use_backend(SimulatedBackend(4321)):
        assert main(["port"]) == 0
        assert capsys.readouterr().out == "4321\n"
        assert main(["port", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"port": 4321}


@pytest.mark.parametrize("arguments", [["port"], ["port", "--json"]])
def test_no_port(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a port it prints nothing, and says 3."""
    with use_backend(SimulatedBackend()):
        assert main(arguments) == 3
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def answering(tmp_path: Path) -> dict[str, str]:
    """An environment with the backends ``none``, ``refused`` and others of one package."""
    source = """
import sys
from aioteredo import BackendError, BackendUnavailableError, SimulatedBackend

class Refused(SimulatedBackend):
    def get_port(self):
        raise BackendUnavailableError("netlink is\\nrefused")

class Failing(SimulatedBackend):
    def get_port(self):
        raise BackendError("GetTeredoPort", 31)

class Buggy(SimulatedBackend):
    def get_port(self):
        return self.nothing

def exiting():
    sys.exit("not today \\u2192")
"""
    points = [
        "none = answering:SimulatedBackend",
        "refused = answering:Refused",
        "failing = answering:Failing",
        "buggy = answering:Buggy",
        "exiting = answering:exiting",
        "broken = no_such_module:Backend",
    ]
    write_package(tmp_path, "answering", source, "\n".join(points))
    return environment(tmp_path)


def test_no_port_of_the_executable(answering: dict[str, str]) -> None:
    """So it is for the real one."""
    result = run("port", "--backend", "none", "--json", env=answering)
    assert (result.returncode, result.stdout, result.stderr) == (3, "", "")


@pytest.mark.parametrize("arguments", [["port"], ["watch"], ["exec", "--", "true"]])
def test_unavailable(arguments: list[str], answering: dict[str, str]) -> None:
    """An unavailable backend is one clear line, and exit 1."""
    result = run(*arguments, env=answering | {"AIOTEREDO_BACKEND": "broken"})
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("aioteredo: AIOTEREDO_BACKEND='broken': ")
    assert result.stderr.count("\n") == 1


def test_unavailable_in_several_lines(answering: dict[str, str]) -> None:
    """A reason of several lines is one."""
    result = run("port", "--backend", "refused", env=answering)
    assert result.stderr == "aioteredo: netlink is refused\n"


def test_nothing_heavy_is_imported() -> None:
    """``port`` and ``backends`` need no event loop, and don't load one."""
    code = """
import sys
from aioteredo.__main__ import main
sys.argv[1:] = [{}]
main()
print(*sys.modules)
"""
    heavy = {"anyio", "asyncio", "trio", "logging", "json", "pathlib", "shutil", "datetime"}
    heavy |= {"difflib", "textwrap"}
    for arguments, allowed in (
        ("'port', '--backend', 'simulated'", set()),
        ("'backends'", heavy - {"anyio", "asyncio", "trio"}),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code.format(arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit(),
            check=True,
        )
        loaded = {*result.stdout.decode().splitlines()[-1].split()}
        assert "aioteredo" in loaded
        unwanted = sorted(loaded & heavy - allowed)
        assert unwanted == [], f"main([{arguments}]) imports {', '.join(unwanted)}"


# backends


def listed(answering: dict[str, str]) -> dict[str, dict[str, object]]:
    result = run("backends", "--json", env=answering)
    assert (result.returncode, result.stderr) == (0, "")
    backends = [json.loads(line) for line in result.stdout.splitlines()]
    keys = ["name", "default", "available", "port", "reason"]
    assert all([*b] == keys for b in backends)
    return {backend["name"]: backend for backend in backends}


def test_backends(answering: dict[str, str]) -> None:
    """Each backend is listed, others' too, with the reason why it cannot be used."""
    backends = listed(answering)
    reasons = {name: backend["reason"] for name, backend in backends.items()}
    assert [*backends][:3] == ["iphlpapi", "simulated", "miredo"]
    assert reasons["simulated"] is reasons["none"] is None
    assert isinstance(backends["simulated"]["port"], int)
    assert backends["none"]["port"] is backends["refused"]["port"] is None
    assert reasons["refused"] == "netlink is\nrefused"
    assert "ERROR_GEN_FAILURE" in str(reasons["failing"])
    assert str(reasons["buggy"]).startswith("AttributeError: ")
    assert reasons["exiting"] == "SystemExit: not today →"
    assert "No module named 'no_such_module'" in str(reasons["broken"])
    wrong_platform = "miredo" if sys.platform == "win32" else "iphlpapi"
    assert f"this is {sys.platform}" in str(reasons[wrong_platform])
    for backend in backends.values():
        assert backend["available"] is (backend["reason"] is None)


def test_default_backend_is_marked(answering: dict[str, str]) -> None:
    """The default is that of the platform, or the one that the environment names."""
    default = [name for name, b in listed(answering).items() if b["default"]]
    assert default == (["iphlpapi"] if sys.platform == "win32" else [])
    answering["AIOTEREDO_BACKEND"] = "refused"
    assert [name for name, b in listed(answering).items() if b["default"]] == ["refused"]
    answering["AIOTEREDO_BACKEND"] = "misspelt"
    backend = listed(answering)["misspelt"]
    assert backend["default"]
    assert "no such backend" in str(backend["reason"])


def test_backends_for_people(answering: dict[str, str]) -> None:
    """A line each, and what the output's encoding lacks is escaped."""
    variables = {"AIOTEREDO_BACKEND": "simulated", "PYTHONIOENCODING": "ascii"}
    result = run("backends", env=answering | variables)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    (port,) = [line for line in lines if line.startswith("simulated  ")]
    assert re.fullmatch(r"simulated  available \(default\): port [0-9]+", port)
    assert "none       available: no port" in lines
    assert "refused    not available: netlink is refused" in lines
    assert "exiting    not available: SystemExit: not today \\u2192" in lines


def test_backends_in_this_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What breaks is the reason of the backend that it is in."""

    class Broken(SimulatedBackend):
        def get_port(self) -> int | None:
            raise ZeroDivisionError

    monkeypatch.setattr("aioteredo._selection._by_name", {"simulated": Broken()})
    monkeypatch.setenv("AIOTEREDO_BACKEND", "misspelt")
    assert main(["backends", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    reasons = {b["name"]: b["reason"] for b in map(json.loads, lines)}
    assert reasons["simulated"] == "ZeroDivisionError: "
    assert "no such backend" in reasons["misspelt"]


def test_backend_object_as_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """A default that has no name marks none."""
    with use_backend(SimulatedBackend()):
        assert main(["backends"]) == 0
    assert "(default)" not in capsys.readouterr().out


def test_error_without_a_usable_backend_says_so() -> None:
    """The text is whole, and survives the way to another process."""
    error = pickle.loads(pickle.dumps(NoDefaultBackendError()))
    assert str(error).endswith("or AIOTEREDO_BACKEND; usable here: none")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has a default")
@pytest.mark.parametrize("arguments", [["port"], ["watch"], ["exec", "--", "true"]])
def test_command_without_a_backend_names_the_usable_ones_and_its_own_option(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The reader of a command line has no argument and no use_backend()."""
    monkeypatch.delenv("AIOTEREDO_BACKEND", raising=False)
    monkeypatch.setattr("aioteredo._availability.names", lambda: ["iphlpapi", "simulated"])
    assert main(arguments) == 1
    assert capsys.readouterr().err == (
        f"aioteredo: there is no default Teredo backend on {sys.platform}; choose one with "
        "--backend or AIOTEREDO_BACKEND; usable here: 'simulated'\n"
    )


def test_library_without_the_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that lacks an export of Windows is the reason, and which export."""
    source = """
import sys
from aioteredo.backends.iphlpapi import IphlpapiBackend

def backend():
    return IphlpapiBackend("kernel32.dll" if sys.platform == "win32" else {library!r})
"""
    library = ctypes.util.find_library("c")
    write_package(
        tmp_path, "other", source.format(library=library), "other = other:backend"
    )
    reason = str(listed(environment(tmp_path))["other"]["reason"])
    assert "lacks one of the Teredo functions" in reason
    assert "NotifyTeredoPortChange" in reason


@linux
def test_refused_netlink() -> None:
    """Under a service manager that refuses netlink, the setting is named."""
    if sys.platform != "linux":
        raise NotImplementedError
    import pwd

    from ..support.seccomp import on_a_thread, refuse

    if "miredo" not in [user.pw_name for user in pwd.getpwall()]:
        pytest.skip("without the user miredo, that is the reason")
    reasons = []

    def work() -> None:
        refuse("socket", errno.EAFNOSUPPORT, socket.AF_NETLINK)
        reasons.append(listed(environment())["miredo"]["reason"])

    on_a_thread(work)
    assert "RestrictAddressFamilies" in str(reasons[0])


@pytest.mark.skipif(sys.platform != "linux", reason="Miredo is Linux'")
def test_user_miredo_is_absent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the user ``miredo``, that is the reason."""
    monkeypatch.setattr("aioteredo.backends.miredo.USER", "no-such-user")
    monkeypatch.setattr("aioteredo._selection._by_name", {})
    assert main(["backends"]) == 0
    assert "miredo     not available: there is no user 'no-such-user'" in (
        capsys.readouterr().out
    )


# watch


def test_watch_for_people(running: Running) -> None:
    """A line per event: time, and what changed."""
    running.start("watch", "--initial", env={"PYTHONIOENCODING": "utf-8"})
    running.change(51234)
    running.change(60123)
    running.change(None)
    running.change(60123)
    whole = [running.line() for _ in range(5)]
    assert [line.split("  ")[1] for line in whole] == [
        "no port",
        "no port → 51234",
        "51234 → 60123",
        "60123 → no port",
        "no port → 60123",
    ]
    when = datetime.strptime(whole[0].split("  ")[0], "%Y-%m-%d %H:%M:%S").astimezone()
    assert abs(datetime.now(UTC) - when) < timedelta(hours=1)


def test_arrow_in_an_encoding_without_one(running: Running) -> None:
    """An output that cannot say ``→`` says ``->``."""
    running.start("watch", "--count=2", env={"PYTHONIOENCODING": "ascii"})
    running.change(1)
    running.post("change", 2, 2)  # it may end before it could answer
    lines = [running.line(), running.line()]
    assert lines[1].endswith("  1 -> 2")
    assert running.wait() == (0, "")


def test_watch_json(running: Running) -> None:
    """With ``--json``, an object per line: the event's fields, and when it was."""
    running.start("watch", "--initial", "--json")
    before = datetime.now(UTC)
    running.change(51234)
    first, second = json.loads(running.line()), json.loads(running.line())
    assert [*first] == ["time", *PortEvent._fields]
    assert (first["port"], first["notification_type"]) == (None, "INITIAL")
    assert (second["port"], second["notification_type"]) == (51234, "PARAMETER")
    assert (first["missed"], second["missed"]) == (0, 0)
    assert first["monotonic_ns"] < second["monotonic_ns"]
    times = [datetime.fromisoformat(event["time"]) for event in (first, second)]
    assert all(time.utcoffset() == timedelta(0) for time in times)
    assert times[0] < times[1]
    assert abs(times[1] - before) < timedelta(hours=1)


def test_time_is_that_of_the_notification() -> None:
    """However late a line is printed, it says when the event was."""
    hour = 3600 * 10**9
    line = _lines.Json()(PortEvent(5, monotonic_ns=time.monotonic_ns() - hour))
    age = datetime.now(UTC) - datetime.fromisoformat(json.loads(line)["time"])
    assert abs(age - timedelta(hours=1)) < timedelta(minutes=30)


def test_times_are_in_the_order_of_the_events() -> None:
    """What passes while a line is made does not put its event behind the next."""
    line = _lines.Json()
    now = time.monotonic_ns()
    lines = [json.loads(line(PortEvent(5, monotonic_ns=now + i))) for i in range(50_000)]
    times = [datetime.fromisoformat(event["time"]) for event in lines]
    assert times == sorted(times)


def test_clock_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the clock has been set, the next line has the new time."""
    line, event = _lines.Json(), PortEvent(5, monotonic_ns=time.monotonic_ns())
    before = datetime.fromisoformat(json.loads(line(event))["time"])
    hour = 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda real=time.time_ns: real() + hour)
    after = datetime.fromisoformat(json.loads(line(event))["time"])
    assert abs(after - before - timedelta(hours=1)) < timedelta(minutes=30)


def test_watch_until_a_count_or_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    """``watch`` goes on from event to event until one of the two is reached."""
    with use_backend(SimulatedBackend(restart_every=0.001)):
        assert main(["watch", "--count", "3", "--json"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 3
        lines: list[str] = []
        for seconds in ("0.2", "2", "20"):  # as slow as the machine is
            assert main(["watch", "--timeout", seconds]) == 0
            lines = capsys.readouterr().out.splitlines()
            if len(lines) > 1:
                break
        assert len(lines) > 1


def test_missed_events_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """What a slow output has missed is said."""
    client = SimulatedBackend(1)

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            if client.get_port() == 1:
                client.burst(range(2, 101))
            return super().write(text)

    with use_backend(client), pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "stdout", out := Out())
        assert main(["watch", "--initial", "--count=2", "--max-buffer-size=1"]) == 0
        second = out.getvalue().splitlines()[1]
    assert second.endswith("  1 → 100 (98 missed)")


def test_backend_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """A backend that fails is one clear line, and 1."""
    client = SimulatedBackend()
    client.fail_next_subscribe(BackendError("NotifyTeredoPortChange", 8))
    with use_backend(client):
        assert main(["watch"]) == 1
    assert "ERROR_NOT_ENOUGH_MEMORY" in capsys.readouterr().err


def test_backend_fails_later(running: Running) -> None:
    """So is one that fails while it is watched."""
    running.start("watch")
    running.post("fail", 31)  # it may end before it could answer
    status, error = running.wait()
    assert status == 1
    assert error.startswith("aioteredo: GetTeredoPort: [WinError 31] ERROR_GEN_FAILURE")
    assert error.count("\n") == 1


# signals


@pytest.mark.parametrize("name", STOPS)
def test_stopped_while_watching(running: Running, name: str) -> None:
    """A signal ends it at once and without a word; the status says which."""
    number = signal.Signals[name]
    running.start("watch", "--initial")
    assert running.line()
    running.post("signal", number.value)
    assert running.wait() == (death(number), "")


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_stopped_from_outside(running: Running, name: str) -> None:
    """The signal of another process does the same."""
    number = signal.Signals[name]
    running.start("watch")
    running.process.send_signal(number)
    assert running.wait() == (death(number), "")


@pytest.mark.skipif(sys.platform != "win32", reason="elsewhere the process dies of it")
def test_interrupted_before_it_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is 130 for what needs no event loop as well."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aioteredo._cli.commands.resolve", interrupt)
    monkeypatch.setattr(sys, "argv", ["aioteredo", "port"])
    assert __main__.main() == 130


@contextlib.contextmanager
def stop_when(ready: Callable[[], bool], number: int) -> Iterator[None]:
    """Signal this process once it is *ready*, from another thread."""

    def stop() -> None:
        try:
            wait_until(ready, "the moment to signal")
        finally:  # Without the signal the command would never end.
            if sys.platform == "win32":
                signal.raise_signal(number)
            else:
                os.kill(os.getpid(), number)

    thread = start_thread(stop)
    yield
    join(thread)


@pytest.mark.skipif(
    sys.platform == "win32", reason="Wine 8 fails a send beside another thread's"
)
def test_stopped_in_this_process() -> None:
    """Afterwards the handlers are those of before; what is ignored stays so meanwhile."""
    client = SimulatedBackend()
    ignored = _signals.SIGNALS[-1]
    handler = signal.signal(ignored, signal.SIG_IGN)
    before = [signal.getsignal(number) for number in _signals.SIGNALS]
    seen = []

    def ready() -> bool:
        seen.append(signal.getsignal(ignored))
        return client.subscriber_count > 0

    try:
        with use_backend(client), stop_when(ready, signal.SIGTERM):
            assert main(["watch"]) == 143
        assert [signal.getsignal(number) for number in _signals.SIGNALS] == before
        assert {*seen} == {signal.SIG_IGN}
    finally:
        signal.signal(ignored, handler)


def test_other_interrupts_come_out() -> None:
    """A KeyboardInterrupt that no signal of ours has caused is not swallowed."""

    async def interrupt() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        anyio.run(_signals.Signals().run, interrupt)


INTERRUPTED_IMPORT = """
import signal, sys
from importlib.abc import MetaPathFinder

class Interrupt(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "aioteredo._cli.arguments":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from aioteredo.__main__ import main
sys.exit(main())
"""


def test_interrupted_while_it_is_imported() -> None:
    """Ctrl-C before it has begun ends it as quietly as later."""
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT],
        capture_output=True,
        timeout=limit(),
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (
        death(signal.SIGINT),
        b"",
        b"",
    )


@posix
def test_signal_before_the_loop_waits() -> None:
    """A signal that comes just before the loop waits ends that wait."""

    async def has_wake_up_descriptor() -> int:
        number = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(number)
        return number

    assert anyio.run(_signals.Signals().run, has_wake_up_descriptor) != -1


def test_signal_before_a_write() -> None:
    """Output is not begun after a signal: the loop would not have its turn again."""
    signals, begun = _signals.Signals(), []

    async def write() -> int:
        signal.raise_signal(signal.SIGTERM)
        with signals.interrupting():
            begun.append(True)
        return 0

    assert anyio.run(signals.run, write) == 143
    assert not begun


# standard output and error


@contextlib.contextmanager
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[BinaryIO]:
    """Have a pipe for standard output, whose reading end this is."""
    reading, writing = os.pipe()
    with (
        open(reading, "rb", 0) as reader,
        open(writing, "w") as writer,
        monkeypatch.context() as patch,
    ):
        patch.setattr(sys, "stdout", writer)
        yield reader


def stalled(client: SimulatedBackend, reader: BinaryIO) -> Callable[[], bool]:
    """Make a condition: more has changed than goes into a pipe that nobody reads."""
    full = is_full(reader)

    def look() -> bool:
        if client.subscriber_count and client.get_port() is None:
            client.burst(range(1, 2000))
        return full()

    return look


@linux
def test_stalled_reader_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written is dropped: the exit's flush would wait for it again."""
    client = SimulatedBackend()

    with pipe(monkeypatch) as reader, use_backend(client):
        with stop_when(stalled(client, reader), signal.SIGINT):
            assert main(["watch", "--json", "--max-buffer-size=2000"]) == 130
        sys.stdout.flush()


def test_port_without_a_reader() -> None:
    """It is no error, and the exit has nothing to say of it either."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:
        result = subprocess.run(
            command("port", "--backend", "simulated"),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=limit(),
            check=False,
        )
    assert (result.returncode, result.stderr) == (0, b"")


def test_port_without_a_reader_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is where the coverage is measured."""
    with pipe(monkeypatch) as reader, use_backend(SimulatedBackend(5)):
        reader.close()
        assert main(["port"]) == 0


def test_time_runs_out_although_nobody_reads(running: Running) -> None:
    """A full pipe holds nothing up, on Windows neither."""
    running.start("watch", "--json", "--timeout=5", "--max-buffer-size=2000")
    running.post("change", 1, 2000)
    assert running.process.wait(limit()) == 0


def test_missing_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process was started without is there, and goes nowhere."""
    monkeypatch.setattr(sys, "stdout", None)
    with use_backend(SimulatedBackend(5)):
        assert main(["port"]) == 0
    sys.stdout.close()


@pytest.mark.parametrize("code", [errno.EPIPE, errno.EINVAL])
def test_other_errors_come_out(code: int) -> None:
    """Only standard output has a reader: what a backend raises is not hidden."""

    class Broken(SimulatedBackend):
        def get_port(self) -> int | None:
            raise OSError(code, "of the backend's own pipe")

    with use_backend(Broken()), pytest.raises(OSError, match="the backend's own"):
        main(["port"])


FULL_DISK = "aioteredo: cannot write: No space left on device\n"


@linux
@pytest.mark.parametrize(
    "arguments", [["port"], ["watch", "--initial"], ["backends"], ["--help"]], ids=str
)
def test_full_disk_in_this_process(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another failure to write is said, and then what is left over is dropped."""
    with Path("/dev/full").open("w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with use_backend(SimulatedBackend(5)):
            assert main(arguments) == 1
    assert capsys.readouterr().err == FULL_DISK


@linux
def test_time_runs_out_while_the_reader_is_stalled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``--timeout`` ends it also if a pipe is full that nobody reads."""
    with pipe(monkeypatch), use_backend(SimulatedBackend(restart_every=0.0001)):
        while select.select([], [sys.stdout], [], 0)[1]:
            sys.stdout.write("x" * 4096)
            sys.stdout.flush()
        assert main(["watch", "--initial", "--timeout", "0.5"]) == 0


@posix
def test_output_to_a_pipe_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named pipe that is opened for reading too is written to like any other."""
    if sys.platform == "win32":
        raise NotImplementedError
    os.mkfifo(tmp_path / "fifo")
    pipe = os.open(tmp_path / "fifo", os.O_RDWR)
    with os.fdopen(pipe, "w") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        with use_backend(SimulatedBackend(5, restart_every=0.01)):
            assert main(["watch", "--initial", "--count", "3"]) == 0
        assert os.read(pipe, 10_000).count(b"\n") == 3


def test_reader_is_gone_at_the_next_line(running: Running) -> None:
    """Where a pipe does not tell, the next line does."""
    running.start("watch", "--initial", "--json")
    assert running.line()
    assert running.process.stdout is not None
    running.process.stdout.close()
    running.post("change", 1, 1)
    assert running.wait() == (0, "")


@linux
def test_stalled_reader(running: Running) -> None:
    """A signal ends it also while it waits for the reader of a full pipe."""
    running.start("watch", "--json", "--max-buffer-size=2000")
    running.change(1, 2000)
    wait_until_full(running.process.stdout)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == (death(signal.SIGTERM), "")


@posix
@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
def test_without_a_standard_stream(redirection: str) -> None:
    """Started without stdout or stderr, it writes to neither."""
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


def test_output_that_is_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    """In a program of another's, what stands for stdout is written to."""
    with use_backend(SimulatedBackend(7)):
        assert main(["watch", "--initial", "--count", "1"]) == 0
    assert capsys.readouterr().out.endswith("  7\n")


def test_output_without_an_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one that takes text as it is."""
    for arguments, line in ((["port"], "7\n"), (["backends"], "  available: port ")):
        monkeypatch.setattr(sys, "stdout", out := io.StringIO())
        with use_backend(SimulatedBackend(7)):
            assert main(arguments) == 0
        assert line in out.getvalue()


@linux
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk(unbuffered: str) -> None:
    """Another failure to write is one line, and no second one at the exit."""
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            command("port", "--backend", "simulated"),
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(PYTHONUNBUFFERED=unbuffered),
            timeout=limit(),
            check=False,
        )
    assert (result.returncode, result.stderr.decode()) == (1, FULL_DISK)


# colour


def on_a_terminal(*arguments: str, **variables: str) -> str:
    """What the command writes to a terminal."""
    if sys.platform == "win32":
        raise NotImplementedError
    import pty

    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            command("watch", "--backend=simulated", "--initial", "--count=1", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=environment(**variables),
        )
        os.close(theirs)
        text = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while chunk := os.read(ours, 1000):
                text += chunk
        _, error = process.communicate(timeout=limit())
        assert (process.returncode, error) == (0, b"")
    finally:
        os.close(ours)
    return text.decode()


class Terminal(io.TextIOWrapper):
    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding)

    def isatty(self) -> bool:
        return True


@posix
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR", None])
def test_lines(
    encoding: str, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line is what its stream can show."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    if variable is not None:
        monkeypatch.setenv(variable, "1")
    line = _lines.text_for(Terminal(encoding))
    line(PortEvent(5))
    text = line(PortEvent(None, missed=2))
    assert ("→" in text) is (encoding == "utf-8")
    assert ("->" in text) is (encoding != "utf-8")
    assert ("\033[33mno port\033[0m" in text) is (variable != "NO_COLOR")
    assert ("\033[33m (2 missed)\033[0m" in text) is (variable != "NO_COLOR")


@posix
@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
    ],
)
def test_colour_on_a_terminal(variables: dict[str, str], coloured: bool) -> None:
    """A terminal gets colours, unless the environment says no."""
    assert ("\033[" in on_a_terminal(**variables)) is coloured


@posix
def test_no_colour_in_json() -> None:
    """What is for programs has none."""
    json.loads(on_a_terminal("--json", FORCE_COLOR="1"))


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": ""}, False)],
)
def test_colour_in_a_pipe(variables: dict[str, str], coloured: bool) -> None:
    """A pipe gets none, unless it is forced."""
    result = run(
        "watch",
        *("--backend=simulated", "--initial", "--count=1"),
        env=environment(**variables),
    )
    assert ("\033[" in result.stdout) is coloured
