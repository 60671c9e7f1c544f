"""``exec`` under a service manager that reads NOTIFY_SOCKET, as systemd does."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioteredo._cli.service_manager import ServiceManager

from ..support.running import RunningCommand
from ..support.runs import Runs
from ..support.waiting import limit

if sys.platform == "win32":
    pytest.skip("Windows has no such sockets", allow_module_level=True)


class Manager:
    """A service manager: a socket, with the messages that it has received."""

    def __init__(self, address: str) -> None:
        self.environment = {"NOTIFY_SOCKET": address}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(limit())
        self.socket.bind(address.replace("@", "\0"))

    def next(self) -> list[str]:
        return self.socket.recv(1000).decode().split("\n")

    def has_more(self) -> bool:
        self.socket.setblocking(False)
        try:
            return bool(self.socket.recv(1000))
        except BlockingIOError:
            return False
        finally:
            self.socket.settimeout(limit())


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A service manager at either kind of address."""
    address = str(tmp_path / "notify")
    if request.param == "abstract":
        if sys.platform != "linux":
            pytest.skip("the abstract namespace is Linux'")
        address = f"@aioteredo-{os.getpid()}"
    manager = Manager(address)
    with manager.socket:
        yield manager


def test_exec_is_ready_when_the_first_run_has_ended(
    running: RunningCommand, runs: Runs, manager: Manager
) -> None:
    """Units that are ordered after the service start when the first run has ended."""
    cmd = ["--initial", "--no-port=none", "--", *runs.cmd, "{port}"]
    running.start("exec", *cmd, env=manager.environment)
    assert manager.next() == ["STATUS=no port"]
    first = runs.next()
    assert not manager.has_more()
    first.finish()
    assert manager.next() == ["READY=1", "STATUS=no port: exit status 0"]
    running.change(5)
    assert manager.next() == ["STATUS=port 5"]
    runs.next().finish(3)
    failed = f"STATUS=port 5: {sys.executable!r} failed: exit status 3"
    assert manager.next() == ["READY=1", failed]


def test_exec_is_ready_without_a_port(running: RunningCommand, manager: Manager) -> None:
    """The start of the service does not wait for a Teredo client that is down."""
    cmd = ["--initial", "--", sys.executable]
    running.start("exec", *cmd, env=manager.environment)
    assert manager.next() == ["STATUS=no port", "READY=1"]


def test_exec_is_ready_before_the_first_change(
    running: RunningCommand, manager: Manager
) -> None:
    """Without ``--initial``, there is no run to wait for."""
    running.start("exec", "--", sys.executable, env=manager.environment)
    assert manager.next() == ["READY=1"]


def test_exec_is_ready_while_cmd_runs_with_restart(
    running: RunningCommand, runs: Runs, manager: Manager
) -> None:
    """With ``restart``, CMD may run for as long as the client has the port."""
    cmd = ["--initial", "--no-port=none", "--on-busy=restart", "--", *runs.cmd, "{port}"]
    running.start("exec", *cmd, env=manager.environment)
    assert manager.next() == ["STATUS=no port", "READY=1"]
    assert runs.next().is_running()


def test_exec_is_not_ready_when_the_first_run_fails(
    running: RunningCommand, runs: Runs, manager: Manager
) -> None:
    """With ``--fail-fast``, the start of the service fails as well."""
    cmd = ["--initial", "--no-port=none", "--fail-fast", "--", *runs.cmd, "{port}"]
    running.start("exec", *cmd, env=manager.environment)
    assert manager.next() == ["STATUS=no port"]
    runs.next().finish(3)
    assert running.wait()[0] == 1
    assert not manager.has_more()


def test_exec_goes_on_when_the_manager_has_gone(
    running: RunningCommand, runs: Runs, manager: Manager
) -> None:
    """A message to a socket that nobody reads is dropped."""
    cmd = ["--count=1", "--", *runs.cmd, "{port}"]
    running.start("exec", *cmd, env=manager.environment)
    manager.socket.close()
    running.change(1)
    runs.next().finish()
    assert running.wait() == (0, "")


def test_cmd_does_not_inherit_the_socket(running: RunningCommand, manager: Manager) -> None:
    """A message of CMD would be refused, because CMD is not the service's main process."""
    code = "import os; print(os.environ.get('NOTIFY_SOCKET'))"
    cmd = ["--", sys.executable, "-ISc", code]
    running.start("exec", *cmd, env=manager.environment)
    running.change(1)
    assert running.read_line() == "None"


def test_no_socket_is_opened_without_a_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable, no socket is opened."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setattr(socket, "socket", None)
    ServiceManager().send("READY=1")


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/no/such/socket", "x" * 200])
def test_address_that_cannot_be_used_is_ignored(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """An address of another kind, or an empty address, is not an error."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    ServiceManager().send("READY=1", "STATUS=ready")
    assert "NOTIFY_SOCKET" not in os.environ


def test_manager_that_reads_nothing_delays_a_message_only_briefly(
    monkeypatch: pytest.MonkeyPatch, manager: Manager
) -> None:
    """A full socket delays a message for a limited time."""
    monkeypatch.setattr("aioteredo._cli.service_manager._TIMEOUT", 0.001)
    for name, value in manager.environment.items():
        monkeypatch.setenv(name, value)
    service_manager = ServiceManager()
    for _ in range(1000):
        service_manager.send("STATUS=port 1")
