"""The recipe of docs/recipes/sse.md, run by uvicorn in a process of its own."""

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
from typing import Final

import pytest

from ..support.documents import block
from ..support.waiting import kill_at_the_limit, limit, wait_until

PAGE: Final = "docs/recipes/sse.md"

# The program of the recipe, with more addresses by which a test controls the Teredo client
# and sees the number of its open watches. This client does not restart by itself, so that
# a test knows each port that comes.
SERVER_SOURCE = """
import os

from starlette.responses import PlainTextResponse
from starlette.routing import Route

import sse
from aioteredo import BackendError, SimulatedBackend, use_backend

client = SimulatedBackend(51234)
if os.environ["AIOTEREDO_BACKEND"] == "simulated":
    default = use_backend(client)
    default.__enter__()

sse.KEEP_ALIVE = float(os.environ.get("TEST_KEEP_ALIVE", sse.KEEP_ALIVE))


async def watches(request):
    return PlainTextResponse(str(client.subscriber_count))


async def restart(request):
    return PlainTextResponse(str(client.restart()))


async def fail(request):
    client.fail(BackendError("GetTeredoPort", 31))
    return PlainTextResponse("0")


async def refuse(request):
    client.fail_next_subscribe(BackendError("NotifyTeredoPortChange", 8))
    return PlainTextResponse("0")


app = sse.app
for endpoint in (watches, restart, fail, refuse):
    app.router.routes.append(Route(f"/{endpoint.__name__}", endpoint))
"""


class Server:
    """The command of the recipe in a process of its own, which is ready for clients."""

    def __init__(self, directory: Path, **environment: str) -> None:
        (directory / "sse.py").write_text(block(PAGE, "python", "event-stream"), "utf-8")
        (directory / "server.py").write_text(SERVER_SOURCE, "utf-8")

        words = shlex.split(block(PAGE, "sh", "uvicorn sse:app"))
        self.grace = float(words[words.index("--timeout-graceful-shutdown") + 1])
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
        status = self.process.wait(limit())
        raise AssertionError(f"the server ended at its start, with status {status}")

    def get_number(self, path: str) -> int:
        """Return the number that the server answers for *path*."""
        with contextlib.closing(self.connect()) as connection:
            connection.request("GET", path)
            return int(connection.getresponse().read())

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit())

    def end(self) -> str:
        """End the server as a service manager does.

        :return: the lines that the server has logged since it was ready
        """
        # While a client is connected, the server uses all of its grace period. The limit
        # may be shorter than this period.
        self.timer.cancel()
        self.process.terminate()
        _, log = self.process.communicate(timeout=self.grace + limit())
        return log


class Browser:
    """A client of the endpoint: one open request, and the messages that it receives."""

    def __init__(self, server: Server) -> None:
        self._connection = server.connect()
        self._connection.request("GET", "/teredo")
        self._response = self._connection.getresponse()

        media_type, _, _ = self._response.headers["Content-Type"].partition(";")
        assert (self._response.status, media_type) == (200, "text/event-stream")
        for name, value in (("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")):
            assert self._response.headers[name] == value

    def receive_message(self) -> str:
        """Return the next message or comment, which ends at an empty line."""
        lines = iter(self._response.readline, b"\n")
        return b"".join(lines).decode()

    def receive_port(self) -> object:
        """Return the port of the next message, and skip the comments before it."""
        while (message := self.receive_message()).startswith(":"):
            pass
        return json.loads(message.removeprefix("data: "))["port"]

    def is_at_the_end(self) -> bool:
        """Return whether the response has ended as it should, and not by an error."""
        return self._response.read() == b""

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


def test_web_page_uses_the_address_and_the_key_of_the_recipe() -> None:
    """The lines of JavaScript ask the recipe's address, and read the key ``port``."""
    script = block(PAGE, "js", "EventSource")
    assert 'EventSource("/teredo")' in script
    assert "JSON.parse(event.data).port" in script


def test_client_that_disconnects_ends_only_its_own_watch(
    start_server: Callable[..., Server],
) -> None:
    """The server closes the watch of that client, and goes on to serve the others."""
    server = start_server()
    first = Browser(server)
    second = Browser(server)
    assert first.receive_port() == second.receive_port()
    port = server.get_number("/restart")
    assert (first.receive_port(), second.receive_port()) == (port, port)
    assert server.get_number("/watches") == 2

    first.close()
    wait_until(lambda: server.get_number("/watches") == 1, "the first watch is closed")
    port = server.get_number("/restart")
    assert second.receive_port() == port

    third = Browser(server)
    assert third.receive_port() == port
    second.close()
    third.close()
    wait_until(lambda: server.get_number("/watches") == 0, "no watch is open")
    assert not re.search("Error|Warning|Traceback", server.end())


def test_head_request_opens_no_watch(start_server: Callable[..., Server]) -> None:
    """A HEAD request is answered with the headers alone."""
    server = start_server()
    with contextlib.closing(server.connect()) as connection:
        connection.request("HEAD", "/teredo")
        response = connection.getresponse()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert (response.status, response.read()) == (200, b"")
        assert server.get_number("/watches") == 0


def test_comments_between_changes_lose_no_change(
    start_server: Callable[..., Server],
) -> None:
    """The server sends comments while there is no event, and still sends each change."""
    server = start_server(TEST_KEEP_ALIVE="0.005")
    browser = Browser(server)
    with contextlib.closing(browser):
        assert browser.receive_message().startswith("data: ")
        for _ in range(20):
            assert browser.receive_message().startswith(":")
            port = server.get_number("/restart")
            assert browser.receive_port() == port


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_sigterm_ends_the_server_while_a_client_is_connected(
    start_server: Callable[..., Server],
) -> None:
    """SIGTERM ends the server and the response of the client, without a traceback."""
    server = start_server()
    browser = Browser(server)
    with contextlib.closing(browser):
        browser.receive_port()
        log = server.end()
        with pytest.raises(http.client.IncompleteRead):
            browser._response.read()

    assert server.process.returncode == -signal.SIGTERM
    assert "Finished server process" in log
    assert not re.search("Warning|Traceback|never", log)


def test_failed_backend_ends_each_stream_without_a_traceback(
    start_server: Callable[..., Server],
) -> None:
    """Each client gets the end of its stream, and can connect again; nothing is logged."""
    server = start_server()
    with (
        contextlib.closing(Browser(server)) as first,
        contextlib.closing(Browser(server)) as second,
    ):
        assert (first.receive_port(), second.receive_port()) == (51234, 51234)
        server.get_number("/fail")
        assert first.is_at_the_end()
        assert second.is_at_the_end()

    with contextlib.closing(Browser(server)) as browser:
        assert browser.receive_port() == 51234
    wait_until(lambda: server.get_number("/watches") == 0, "no watch is open")

    # uvicorn still logs that it ends.
    for line in server.end().splitlines():
        assert line.startswith("INFO:")


def test_watch_that_is_refused_is_answered_with_the_reason(
    start_server: Callable[..., Server],
) -> None:
    """The client gets the status 503 and the error, and the log has no traceback."""
    server = start_server()
    server.get_number("/refuse")
    assert_refused(server, "NotifyTeredoPortChange: [WinError 8] ERROR_NOT_ENOUGH_MEMORY")


def test_unavailable_backend_is_answered_with_the_reason(
    start_server: Callable[..., Server],
) -> None:
    """The client gets the status 503 and the error, and the log has no traceback."""
    server = start_server(AIOTEREDO_BACKEND="no-such-backend")
    assert_refused(server, "AIOTEREDO_BACKEND='no-such-backend': there is no such backend")


def assert_refused(server: Server, reason: str) -> None:
    """Check the answer to a request whose watch cannot be opened."""
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/teredo")
        response = connection.getresponse()
        assert response.status == 503
        assert response.read().decode().startswith(reason)
    assert not re.search("Error|Warning|Traceback", server.end())
