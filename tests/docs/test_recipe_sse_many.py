"""The recipe of docs/recipes/sse.md with many clients, on a machine with Miredo."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ..support.documents import block
from ..support.requirements import require
from ..support.waiting import kill_at_the_limit, limit

PAGE: Final = "docs/recipes/sse.md"
CLIENTS: Final = 500

# The recipe with another route, in a process that may open 1,024 descriptors.
SERVER_SOURCE = """
import os
import resource

from starlette.responses import PlainTextResponse
from starlette.routing import Route

import sse

resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))


async def threads(request):
    return PlainTextResponse(str(len(os.listdir("/proc/self/task"))))


app = sse.app
app.router.routes.append(Route("/threads", threads))
"""


@pytest.fixture
def server_port(tmp_path: Path) -> Iterator[int]:
    """The port of the recipe's server, which follows Miredo."""
    if sys.platform == "linux":
        from ..support import miredo_lab

        require("miredo", miredo_lab.missing())
    else:
        pytest.skip("Miredo needs Linux")

    (tmp_path / "sse.py").write_text(block(PAGE, "python", "event-stream"), "utf-8")
    (tmp_path / "server.py").write_text(SERVER_SOURCE, "utf-8")
    words = shlex.split(block(PAGE, "sh", "uvicorn sse:app"))
    words = words[words.index("uvicorn") :]
    words[words.index("sse:app")] = "server:app"
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", *words),
            *("--port", "0", "--no-access-log", "--no-use-colors"),
        ],
        cwd=tmp_path,
        env=os.environ | {"AIOTEREDO_BACKEND": "miredo"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    timer = kill_at_the_limit(server)
    try:
        assert server.stderr is not None
        for line in server.stderr:
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                yield int(found[1])
                return
        raise AssertionError("the server ended at its start")
    finally:
        timer.cancel()
        server.kill()
        server.communicate(timeout=limit())


def test_many_clients_of_miredo_leave_descriptors_for_other_routes(
    server_port: int,
) -> None:
    """Each of 500 clients gets status 200 and a port, and another route answers."""
    with contextlib.ExitStack() as stack:

        def request(path: str) -> http.client.HTTPResponse:
            connection = http.client.HTTPConnection(
                "127.0.0.1", server_port, timeout=limit()
            )
            stack.callback(connection.close)
            connection.request("GET", path)
            return stack.enter_context(connection.getresponse())

        for _ in range(CLIENTS):
            response = request("/teredo")
            assert response.status == 200
            assert response.readline().startswith(b'data: {"port": ')

        response = request("/threads")
        assert response.status == 200
        assert int(response.read()) < 10
