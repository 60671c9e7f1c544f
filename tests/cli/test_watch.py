"""``aioteredo watch``: its lines, the options that end it, and its failures."""

from __future__ import annotations

import io
import json
import signal
import sys
from datetime import UTC, datetime, timedelta

import pytest

from aioteredo import BackendError, PortEvent, SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.command import killed_by
from ..support.full_pipes import wait_until_full
from ..support.running import RunningCommand
from ..support.waiting import limit
from .marks import STOPPING_SIGNALS, linux, posix


def test_text_line_has_the_time_and_both_ports(running: RunningCommand) -> None:
    """Each line has the local time, the previous port and the new one."""
    running.start("watch", "--initial", env={"PYTHONIOENCODING": "utf-8"})
    running.change(51234)
    running.change(60123)
    running.change(None)
    running.change(60123)

    lines = [running.read_line() for _ in range(5)]
    assert [line.split("  ")[1] for line in lines] == [
        "no port",
        "no port → 51234",
        "51234 → 60123",
        "60123 → no port",
        "no port → 60123",
    ]

    when = datetime.strptime(lines[0].split("  ")[0], "%Y-%m-%d %H:%M:%S").astimezone()
    assert abs(datetime.now(UTC) - when) < timedelta(hours=1)


def test_arrow_is_ascii_if_the_encoding_has_no_arrow(running: RunningCommand) -> None:
    """An output in ASCII has ``->`` between two ports."""
    running.start("watch", "--count=2", env={"PYTHONIOENCODING": "ascii"})
    running.change(1)
    running.change(2, wait=False)
    lines = [running.read_line(), running.read_line()]
    assert lines[1].endswith("  1 -> 2")
    assert running.wait() == (0, "")


def test_json_line_has_the_time_and_the_fields_of_the_event(
    running: RunningCommand,
) -> None:
    """``--json`` prints one object for each event, with the time in UTC."""
    running.start("watch", "--initial", "--json")
    before = datetime.now(UTC)
    running.change(51234)
    first, second = (json.loads(running.read_line()) for _ in range(2))

    assert [*first] == ["time", *PortEvent._fields]
    assert (first["port"], first["notification_type"]) == (None, "INITIAL")
    assert (second["port"], second["notification_type"]) == (51234, "PARAMETER")
    assert (first["missed"], second["missed"]) == (0, 0)
    assert first["monotonic_ns"] < second["monotonic_ns"]

    times = [datetime.fromisoformat(event["time"]) for event in (first, second)]
    assert all(time.utcoffset() == timedelta(0) for time in times)
    assert times[0] < times[1]
    assert abs(times[1] - before) < timedelta(hours=1)


def test_watch_ends_after_the_count_or_the_timeout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """``watch`` follows all changes until the count or the time is reached."""
    with use_backend(SimulatedBackend(restart_every=0.001)):
        assert main(["watch", "--count", "3", "--json"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 3

        # A busy machine may need more than the first time to print two lines.
        lines: list[str] = []
        for seconds in ("0.2", "2", "20"):
            assert main(["watch", "--timeout", seconds]) == 0
            lines = capsys.readouterr().out.splitlines()
            if len(lines) > 1:
                break
        assert len(lines) > 1


def test_line_counts_the_events_that_were_missed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Events that do not fit into the buffer are lost, and the next line counts them."""
    client = SimulatedBackend(1)

    class SlowOutput(io.StringIO):
        def write(self, text: str) -> int:
            if client.get_port() == 1:
                client.burst(range(2, 101))
            return super().write(text)

    with use_backend(client), pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(sys, "stdout", output := SlowOutput())
        assert main(["watch", "--initial", "--count=2", "--max-buffer-size=1"]) == 0
        second = output.getvalue().splitlines()[1]
    assert second.endswith("  1 → 100 (98 missed)")


def test_failure_to_subscribe_is_reported_and_the_status_is_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """If the backend cannot subscribe, its error is printed."""
    client = SimulatedBackend()
    client.fail_next_subscribe(BackendError("NotifyTeredoPortChange", 8))
    with use_backend(client):
        assert main(["watch"]) == 1
    assert "ERROR_NOT_ENOUGH_MEMORY" in capsys.readouterr().err


def test_failure_during_the_watch_is_one_line_and_status_1(running: RunningCommand) -> None:
    """A backend that fails later ends ``watch`` with one line."""
    running.start("watch")
    running.fail(31, wait=False)
    status, error = running.wait()
    assert status == 1
    assert error.startswith("aioteredo: GetTeredoPort: [WinError 31] ERROR_GEN_FAILURE")
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", STOPPING_SIGNALS)
def test_signal_ends_watch_quietly(running: RunningCommand, name: str) -> None:
    """A signal ends ``watch`` without output, and the exit status names it."""
    number = signal.Signals[name]
    running.start("watch", "--initial")
    assert running.read_line()
    running.raise_signal(number)
    assert running.wait() == (killed_by(number), "")


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_signal_of_another_process_ends_watch_quietly(
    running: RunningCommand, name: str
) -> None:
    """A signal of another process ends ``watch`` without output."""
    number = signal.Signals[name]
    running.start("watch")
    running.process.send_signal(number)
    assert running.wait() == (killed_by(number), "")


def test_timeout_ends_watch_while_nobody_reads_its_output(running: RunningCommand) -> None:
    """``--timeout`` ends ``watch``, on each platform, even if a pipe is full."""
    running.start("watch", "--json", "--timeout=5", "--max-buffer-size=2000")
    running.change(1, 2000, wait=False)
    assert running.process.wait(limit()) == 0


def test_next_line_ends_watch_if_the_reader_has_gone(running: RunningCommand) -> None:
    """A pipe without a reader ends ``watch`` at the next line at the latest."""
    running.start("watch", "--initial", "--json")
    assert running.read_line()
    assert running.process.stdout is not None
    running.process.stdout.close()
    running.change(1, wait=False)
    assert running.wait() == (0, "")


@linux
def test_signal_ends_watch_while_its_output_is_full(running: RunningCommand) -> None:
    """SIGTERM ends ``watch`` while it waits to write to a full pipe."""
    running.start("watch", "--json", "--max-buffer-size=2000")
    running.change(1, 2000)
    wait_until_full(running.process.stdout)
    running.process.send_signal(signal.SIGTERM)
    assert running.wait() == (killed_by(signal.SIGTERM), "")
