"""The README's endpoint for Server-Sent Events, in a real server process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..support.readme import block
from ..support.waiting import kill_at_the_limit, limit, wait_until

# The recipe's program, with two addresses more by which a test looks into the process
# and acts on it; and the client restarts only when it is told.
SERVER_SOURCE = """
import os

from starlette.responses import PlainTextResponse
from starlette.routing import Route

import sse
from aioteredo._selection import resolve
from aioteredo.backends import simulated

simulated.RESTART_INTERVAL = 3600.0
sse.KEEP_ALIVE = float(os.environ.get("TEST_KEEP_ALIVE", sse.KEEP_ALIVE))


async def watches(request):
    return PlainTextResponse(str(resolve(None).subscriber_count))


async def restart(request):
    return PlainTextResponse(str(resolve(None).restart()))


app = sse.app
app.router.routes += [Route("/watches", watches), Route("/restart", restart)]
"""


class Server:
    """The README's command in a process of its own."""

    def __init__(self, directory: Path, **environment: str) -> None:
        (directory / "sse.py").write_text(block("python", "event-stream"), "utf-8")
        (directory / "server.py").write_text(SERVER_SOURCE, "utf-8")
        words = shlex.split(block("sh", "uvicorn sse:app"))
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            environment = {name: value} | environment
        words[words.index("sse:app")] = "server:app"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-W", "default::ResourceWarning", "-m", *words),
                *("--port", "0", "--no-access-log", "--no-use-colors"),
            ],
            cwd=directory,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.timer = kill_at_the_limit(self.process)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                return
        raise AssertionError(f"the server ended: {self.process.wait(limit())}")

    def ask(self, path: str) -> int:
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", path)
            return int(connection.getresponse().read())

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit())

    def end(self) -> str:
        """End it as a service manager does; what it said since it was up."""
        self.process.terminate()
        _, said = self.process.communicate(timeout=limit())
        return said


class Events:
    """What a browser has: a request that is open, and the messages that come."""

    def __init__(self, server: Server) -> None:
        self._connection = server.connect()
        self._connection.request("GET", "/teredo")
        self._response = self._connection.getresponse()
        media_type, _, _ = self._response.headers["Content-Type"].partition(";")
        assert (self._response.status, media_type) == (200, "text/event-stream")
        for name, value in (("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")):
            assert self._response.headers[name] == value

    def message(self) -> str:
        """The next message, or comment: lines up to an empty one."""
        lines = iter(self._response.readline, b"\n")
        return b"".join(lines).decode()

    def port(self) -> object:
        """The port of the next message that is no comment."""
        while (message := self.message()).startswith(":"):
            pass
        return json.loads(message.removeprefix("data: "))["port"]

    def close(self) -> None:
        self._response.close()
        self._connection.close()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**environment: str) -> Server:
        servers.append(Server(tmp_path, **environment))
        return servers[-1]

    yield start
    for server in servers:
        server.timer.cancel()
        server.process.kill()
        server.process.communicate(timeout=limit())


def test_client_that_goes_away_leaves_the_other(
    start_server: Callable[..., Server],
) -> None:
    """Its watch is closed; the other one's goes on, and so does the next one's."""
    server = start_server()
    one, other = Events(server), Events(server)
    assert one.port() == other.port()
    port = server.ask("/restart")
    assert (one.port(), other.port()) == (port, port)
    assert server.ask("/watches") == 2

    one.close()
    wait_until(lambda: server.ask("/watches") == 1, "its watch is closed")
    port = server.ask("/restart")
    assert other.port() == port

    third = Events(server)
    assert third.port() == port
    for events in (other, third):
        events.close()
    wait_until(lambda: server.ask("/watches") == 0, "no watch is open")
    assert not re.search("Error|Warning|Traceback", server.end())


def test_head_is_answered_at_once(start_server: Callable[..., Server]) -> None:
    """It says the type, and opens no watch."""
    server = start_server()
    with contextlib.closing(server.connect()) as connection:
        connection.request("HEAD", "/teredo")
        response = connection.getresponse()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert (response.status, response.read()) == (200, b"")
        assert server.ask("/watches") == 0


def test_silence_is_filled_and_nothing_lost(start_server: Callable[..., Server]) -> None:
    """Comments come while there is no event, and each change all the same."""
    server = start_server(TEST_KEEP_ALIVE="0.005")
    events = Events(server)
    with contextlib.closing(events):
        assert events.message().startswith("data: ")
        for _ in range(20):
            assert events.message().startswith(":")
            port = server.ask("/restart")
            assert events.port() == port


@pytest.mark.skipif(sys.platform == "win32", reason="no signal there asks to end")
def test_server_ends_with_a_client_there(start_server: Callable[..., Server]) -> None:
    """SIGTERM ends it, and the client's stream, without a traceback."""
    server = start_server()
    events = Events(server)
    with contextlib.closing(events):
        events.port()
        said = server.end()
        with pytest.raises(http.client.IncompleteRead):
            events._response.read()
    assert server.process.returncode == -signal.SIGTERM
    assert "Finished server process" in said
    assert not re.search("Warning|Traceback|never", said)


def test_backend_that_is_unavailable_is_an_error_at_once(
    start_server: Callable[..., Server],
) -> None:
    """A client gets a status to see, and no stream that ends at once."""
    server = start_server(AIOTEREDO_BACKEND="no-such-backend")
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/teredo")
        assert connection.getresponse().status == 500
    assert server.process.stderr is not None
    assert any("BackendUnavailableError" in line for line in server.process.stderr)
