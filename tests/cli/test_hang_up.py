"""A waiting command ends when the reader of its output has gone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.command import command, environment, write_package
from ..support.outputs import Output, reset
from ..support.running import RunningCommand
from ..support.waiting import join, limit, start_thread, wait_until
from .marks import linux
from .streams import CONNECTIONS, as_standard_stream, close_reader, each_output, end_input

pytestmark = linux  # The descriptors of other systems report less.


def shut_down(out: Output) -> None:
    """Have the reader send and receive no more, but keep its descriptor."""
    with out.reader() as connection:
        connection.shutdown(socket.SHUT_RDWR)


def reset_connection(out: Output) -> None:
    """Have the reader close with an error."""
    with out.reader() as connection:
        reset(connection)
        out.close(out.reading)


HANG_UPS = [
    ("pipe", close_reader),
    ("socket", close_reader),
    ("socket", shut_down),
    ("tcp", close_reader),
    ("tcp", shut_down),
    ("tcp", reset_connection),
    ("tcp", end_input),  # It looks like a close.
    ("terminal", close_reader),
]


@pytest.mark.parametrize(("out", "goes"), HANG_UPS, indirect=["out"])
def test_watch_whose_reader_goes_ends_without_a_change(
    out: Output, goes: Callable[[Output], None], running: RunningCommand
) -> None:
    """The watch does not wait for the next change, which may be days away."""
    running.start("watch", "--initial", stdout=out.writing)
    assert out.read()
    out.close(out.writing)
    goes(out)
    assert running.wait() == (0, "")


@pytest.mark.parametrize(("out", "goes"), HANG_UPS, indirect=["out"])
def test_watch_whose_reader_goes_ends_in_this_process(
    out: Output, goes: Callable[[Output], None]
) -> None:
    """The watch of this process ends as well, so that its coverage is measured."""

    def read_and_go() -> None:
        out.read()
        goes(out)

    with as_standard_stream("stdout", out), use_backend(SimulatedBackend(5)):
        thread = start_thread(read_and_go)
        assert main(["watch", "--initial"]) == 0
        join(thread)


@pytest.mark.parametrize(("out", "goes"), HANG_UPS, indirect=["out"])
def test_wait_for_an_address_ends_when_its_reader_goes(
    out: Output, goes: Callable[[Output], None], running: RunningCommand
) -> None:
    """``address --wait`` does not wait for an address that nobody would read."""
    unstable = {"SCRIPTED_UNSTABLE": "1"}
    running.start("address", "--wait", stdout=out.writing, env=unstable)
    out.close(out.writing)
    goes(out)
    assert running.wait() == (0, "")


@each_output("pipe")
def test_wait_for_an_address_ends_in_this_process(out: Output) -> None:
    """The wait of this process ends as well, so that its coverage is measured."""
    client = SimulatedBackend()
    client.set_addresses(stable=False)
    close_reader(out)
    with as_standard_stream("stdout", out), use_backend(client):
        assert main(["address", "--wait"]) == 0
    assert client.subscriber_count == 0


@each_output(*CONNECTIONS, "terminal")
def test_watch_goes_on_when_the_reader_sends_something(
    out: Output, running: RunningCommand
) -> None:
    """Data that is sent to inetd's socket or to a terminal does not end the watch."""
    running.start("watch", "--json", stdout=out.writing)
    os.write(out.reading, b"hello\n")
    running.change(1)
    assert json.loads(out.read())["port"] == 1
    running.change(2)
    assert json.loads(out.read())["port"] == 2
    assert running.process.poll() is None


@each_output("socket")
def test_watch_goes_on_when_the_reader_has_no_more_to_send(
    out: Output, running: RunningCommand
) -> None:
    """``ssh -n`` ends the input of a remote command, but reads its output."""
    end_input(out)
    running.start("watch", "--json", stdout=out.writing)
    running.change(1)
    assert json.loads(out.read())["port"] == 1


def test_watch_that_node_has_started_ends_with_node(tmp_path: Path) -> None:
    """The standard output of a child of Node is a socket, which Node closes at its end."""
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
    """Return whether a process runs, and is not a zombie that nobody has reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except FileNotFoundError:
        return False
    return stat.rpartition(") ")[2][0] not in "ZX"
