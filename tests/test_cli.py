"""The command line, as a real process."""

from __future__ import annotations

import errno
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import aioteredo
from aioteredo import BackendError, SimulatedBackend, use_backend
from aioteredo._cli import main

MODULE = str(Path(aioteredo.__file__).with_name("__main__.py"))


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aioteredo", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        **options,
    )


def test_watch_json() -> None:
    """``watch --json`` prints an object per event, on a line of its own."""
    result = run("watch", "--backend", "simulated", "--count", "2", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    first, second = map(json.loads, result.stdout.splitlines())
    assert first["port"] != second["port"]
    assert {*first} == {"time", "port", "notification_type", "missed", "monotonic_ns"}
    assert first["notification_type"] == "PARAMETER"


def test_no_backend() -> None:
    """An unavailable backend is one clear line, and exit 1."""
    result = run("port", "--backend", "no-such-backend")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("aioteredo: backend='no-such-backend'")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("count", ["0", "-1", "x"])
def test_bad_count(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad argument is named, and exits with 2."""
    with pytest.raises(SystemExit) as raised:
        main(["watch", f"--count={count}"])
    assert raised.value.code == 2
    assert "argument --count" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["nan", "-1", "inf", "x"])
def test_bad_timeout(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A time that nobody can wait is named, and exits with 2."""
    with pytest.raises(SystemExit) as raised:
        main(["watch", f"--timeout={seconds}"])
    assert raised.value.code == 2
    assert "argument --timeout: invalid number of seconds" in capsys.readouterr().err


def test_port(capsys: pytest.CaptureFixture[str]) -> None:
    """``port`` prints the port; without one it prints nothing and says 3."""
    with use_backend(SimulatedBackend(4321)):
        assert main(["port"]) == 0
    assert capsys.readouterr().out == "4321\n"
    with use_backend(SimulatedBackend()):
        assert main(["port"]) == 3
    assert capsys.readouterr().out == ""


def test_watch_text(capsys: pytest.CaptureFixture[str]) -> None:
    """``watch`` ends after its count, or its time."""
    with use_backend(SimulatedBackend()):
        assert main(["watch", "--initial", "--count", "1"]) == 0
        assert main(["watch", "--timeout", "0.01"]) == 0
    assert capsys.readouterr().out.endswith("no port\n")
    with use_backend(SimulatedBackend(7)):
        assert main(["watch", "--initial", "--count", "1"]) == 0
    assert capsys.readouterr().out.endswith("  7\n")


def test_backend_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """A backend that fails is one clear line, and 1."""
    client = SimulatedBackend()
    client.fail_next_subscribe(BackendError("NotifyTeredoPortChange", 8))
    with use_backend(client):
        assert main(["watch"]) == 1
    assert "ERROR_NOT_ENOUGH_MEMORY" in capsys.readouterr().err


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is 130."""
    monkeypatch.setattr("aioteredo._cli.resolve", interrupt)
    assert main(["port"]) == 130


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_watch_until_a_count_or_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    """``watch`` goes on from event to event until one of the two is reached."""
    with use_backend(SimulatedBackend(restart_every=0.001)):
        assert main(["watch", "--count", "3", "--json"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 3
        assert main(["watch", "--timeout", "0.2"]) == 0
        assert len(capsys.readouterr().out.splitlines()) > 1


def test_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """``python -m aioteredo`` is the command."""
    monkeypatch.setattr(sys, "argv", ["aioteredo", "--help"])
    with pytest.raises(SystemExit) as raised:
        runpy.run_path(MODULE, run_name="__main__")
    assert raised.value.code == 0


def test_as_a_module_imported() -> None:
    """Importing that module runs nothing."""
    runpy.run_path(MODULE, run_name="aioteredo.__main__")


def test_broken_pipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After a broken pipe the exit's own flush has somewhere to write to."""

    def broken(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("aioteredo._cli.resolve", broken)
    with (tmp_path / "out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert main(["port"]) == 0
        out.write("lost")
    assert (tmp_path / "out").read_text() == ""


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OSError that is about something else comes out."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("aioteredo._cli.resolve", full)
    with pytest.raises(OSError, match="No space"):
        main(["port"])


def test_reader_goes_away() -> None:
    """A reader that has seen enough ends the command without a word."""
    command = [sys.executable, "-m", "aioteredo", "watch", "--backend", "simulated"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=None,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0
