"""The lines of ``watch``: their times, their arrows and their colours."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from aioteredo import PortEvent
from aioteredo._cli import formats

from ..support.command import command, environment, run
from ..support.waiting import limit
from .marks import posix

HOUR = 3600 * 10**9  # ns


def read_time(lines: formats.JsonFormat, event: PortEvent) -> datetime:
    """Return the time in the line of *event*."""
    return datetime.fromisoformat(json.loads(lines.format(event))["time"])


def test_time_is_when_the_system_notified() -> None:
    """A line that is printed an hour late has the time of its event."""
    event = PortEvent(5, monotonic_ns=time.monotonic_ns() - HOUR)
    age = datetime.now(UTC) - read_time(formats.JsonFormat(), event)
    assert abs(age - timedelta(hours=1)) < timedelta(minutes=30)


def test_times_have_the_order_of_the_events() -> None:
    """Reading the clock takes time, which must not swap the times of two events."""
    lines = formats.JsonFormat()
    now = time.monotonic_ns()
    events = [PortEvent(5, monotonic_ns=now + i) for i in range(50_000)]
    times = [read_time(lines, event) for event in events]
    assert times == sorted(times)


def test_time_follows_a_clock_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the clock has been set, the next line has the new time."""
    lines = formats.JsonFormat()
    event = PortEvent(5, monotonic_ns=time.monotonic_ns())
    before = read_time(lines, event)
    monkeypatch.setattr(time, "time_ns", lambda real=time.time_ns: real() + HOUR)
    after = read_time(lines, event)
    assert abs(after - before - timedelta(hours=1)) < timedelta(minutes=30)


class Terminal(io.TextIOWrapper):
    """A stream that says that it is a terminal."""

    def __init__(self, encoding: str) -> None:
        super().__init__(io.BytesIO(), encoding)

    def isatty(self) -> bool:
        return True


@posix
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR", None])
def test_text_has_the_arrow_and_colours_that_the_stream_can_show(
    encoding: str, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoding decides about the arrow, and NO_COLOR about the colours."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    if variable is not None:
        monkeypatch.setenv(variable, "1")

    lines = formats.text_format_for(Terminal(encoding))
    lines.format(PortEvent(5))
    text = lines.format(PortEvent(None, missed=2))
    assert ("→" in text) is (encoding == "utf-8")
    assert ("->" in text) is (encoding != "utf-8")
    assert ("\033[33mno port\033[0m" in text) is (variable != "NO_COLOR")
    assert ("\033[33m (2 missed)\033[0m" in text) is (variable != "NO_COLOR")


def run_watch_on_a_terminal(*arguments: str, **variables: str) -> str:
    """Return the output of ``watch`` to a terminal."""
    if sys.platform == "win32":
        raise NotImplementedError
    import pty

    reading, writing = pty.openpty()
    try:
        process = subprocess.Popen(
            command("watch", "--backend=simulated", "--initial", "--count=1", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(**variables),
        )
        os.close(writing)

        text = b""
        # At the end of a terminal, Linux raises EIO instead of returning no bytes.
        with contextlib.suppress(OSError):
            while chunk := os.read(reading, 1000):
                text += chunk

        _, error = process.communicate(timeout=limit())
        assert (process.returncode, error) == (0, b"")
    finally:
        os.close(reading)
    return text.decode()


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
def test_terminal_gets_colours_unless_the_environment_forbids_them(
    variables: dict[str, str], coloured: bool
) -> None:
    """NO_COLOR turns colours off, and so does a dumb terminal without FORCE_COLOR."""
    assert ("\033[" in run_watch_on_a_terminal(**variables)) is coloured


@posix
def test_json_has_no_colours_even_if_they_are_forced() -> None:
    """FORCE_COLOR does not change the output of ``--json``."""
    json.loads(run_watch_on_a_terminal("--json", FORCE_COLOR="1"))


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": ""}, False)],
)
def test_pipe_gets_colours_only_if_they_are_forced(
    variables: dict[str, str], coloured: bool
) -> None:
    """A pipe gets colours only with a FORCE_COLOR that is not empty."""
    arguments = ["watch", "--backend=simulated", "--initial", "--count=1"]
    result = run(*arguments, env=environment(**variables))
    assert ("\033[" in result.stdout) is coloured
