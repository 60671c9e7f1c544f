"""The programs of docs/consumers.md."""

from __future__ import annotations

import asyncio
import importlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aioteredo import SimulatedBackend

from ..support.command import environment, run_interpreter
from ..support.documents import block
from ..support.waiting import eventually, limit
from .programs import is_dynamic_port, output_of_program, running_program

PAGE = "docs/consumers.md"


def test_each_of_two_tasks_gets_the_port() -> None:
    """Both tasks print the present port."""
    program = block(PAGE, "python", 'follow, "router"')
    with running_program(program, interval=3600) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(2)]

    ports = dict(lines)
    assert ports.keys() == {"firewall", "router"}
    assert ports["firewall"] == ports["router"]
    assert is_dynamic_port(ports["router"])


def test_thousand_watches_of_a_shared_object_have_one_registration() -> None:
    """The program counts the registrations of its client."""
    assert output_of_program(block(PAGE, "python", "share(client)")) == ["1"]


def test_synchronous_program_prints_the_port() -> None:
    """``asyncio.run(get_teredo_port())`` needs no async code."""
    (port,) = output_of_program(block(PAGE, "python", "asyncio.run"))
    assert is_dynamic_port(port)


def test_blocking_portal_follows_the_port() -> None:
    """The program with a portal prints three ports and ends."""
    ports = output_of_program(block(PAGE, "python", "start_blocking_portal"))
    assert len(ports) == 3
    assert all(map(is_dynamic_port, ports))


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C needs a console on Windows")
def test_ctrl_c_ends_the_wait_of_a_blocking_portal() -> None:
    """The program closes its watch and its loop, and raises nothing else."""
    program = block(PAGE, "python", "start_blocking_portal")
    with running_program(program, interval=3600) as process:
        assert process.stdout is not None
        assert is_dynamic_port(process.stdout.readline().strip())

        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=limit())

    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1
    assert "ResourceWarning" not in errors


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Path]:
    """A directory with the web application and the service that it imports."""
    service = block("docs/service.md", "python", "async def mirror_teredo_port")
    (tmp_path / "service.py").write_text(service, "utf-8")
    (tmp_path / "application.py").write_text(block(PAGE, "python", "lifespan"), "utf-8")
    yield tmp_path
    for module in ("application", "service"):
        sys.modules.pop(module, None)


@pytest.mark.asyncio_loops
async def test_web_application_answers_with_the_port(
    teredo: SimulatedBackend, application: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application follows the port while it runs, and closes its watch at the end."""
    monkeypatch.syspath_prepend(application)
    app = importlib.import_module("application").app

    teredo.set_port(51234)
    async with app.router.lifespan_context(app) as state:
        assert await get(app, "/port", state) == {"port": 51234}

        await eventually(lambda: teredo.subscriber_count == 1, "the watch is open")
        teredo.stop()
        await teredo.wait_until_drained()
        assert await get(app, "/port", state) == {"port": None}

    assert teredo.subscriber_count == 0


def test_server_does_not_start_without_a_backend(application: Path) -> None:
    """Uvicorn logs the reason and ends, instead of answering without a port."""
    result = run_interpreter(
        *("-m", "uvicorn", "application:app", "--port", "0"),
        cwd=application,
        env=environment(application, AIOTEREDO_BACKEND="missing"),
    )
    assert result.returncode != 0
    assert "BackendUnavailableError: AIOTEREDO_BACKEND='missing'" in result.stderr


async def get(app: Any, path: str, state: dict[str, Any]) -> Any:
    """Send a GET request to an ASGI application, and return the JSON of its response."""
    sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [],
        "state": dict(state),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app(scope, receive, sent.put)
    start = sent.get_nowait()
    assert start["status"] == 200
    return json.loads(sent.get_nowait()["body"])
