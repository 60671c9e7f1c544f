"""``aioteredo address``: the addresses as lines, as JSON, and after a wait."""

from __future__ import annotations

import json
import signal
from typing import Final

import pytest

from aioteredo import SimulatedBackend, Sink, Subscription, use_backend
from aioteredo._cli.commands import main

from ..support.command import killed_by, run
from ..support.running import RunningCommand

# The server is 65.54.227.120. The external port is 40000 of 192.0.2.45, behind a cone NAT.
FIRST: Final = "2001:0:4136:e378:8000:63bf:3fff:fdd2"
SECOND: Final = "2001:0:4136:e378:8000:63be:3fff:fdd2"


@pytest.fixture
def client() -> SimulatedBackend:
    """A client with two addresses."""
    client = SimulatedBackend()
    client.set_addresses(FIRST, SECOND)
    return client


@pytest.mark.parametrize("options", [[], ["--wait"]], ids=["now", "wait"])
def test_each_address_is_printed_on_a_line(
    options: list[str], client: SimulatedBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    """``address`` prints the addresses in their order, with and without ``--wait``."""
    with use_backend(client):
        assert main(["address", *options]) == 0
    assert capsys.readouterr().out == f"{SECOND}\n{FIRST}\n"


def test_json_has_the_fields_of_each_address(
    client: SimulatedBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    """``address --json`` prints an object for each address."""
    with use_backend(client):
        assert main(["address", "--json"]) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {
        "address": FIRST,
        "server": "65.54.227.120",
        "flags": 0x8000,
        "cone": True,
        "mapped_address": "192.0.2.45",
        "mapped_port": 40000,
    }


@pytest.mark.parametrize("arguments", [["address"], ["address", "--wait", "--json"]])
def test_without_an_address_nothing_is_printed_and_the_status_is_3(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without an address, ``address`` prints nothing and exits with 3."""
    with use_backend(SimulatedBackend()):
        assert main(arguments) == 3
    assert capsys.readouterr() == ("", "")


class PortBackend:
    """A backend that reports the port only."""

    def get_port(self) -> int | None:
        return None

    def subscribe(self, sink: Sink, *, initial: bool) -> Subscription:
        raise AssertionError("the command must not subscribe to the port")


@pytest.mark.parametrize("options", [[], ["--wait"]], ids=["now", "wait"])
def test_backend_without_addresses_is_one_line_and_status_1(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A backend that only knows the port is reported in one line."""
    with use_backend(PortBackend()):
        assert main(["address", *options]) == 1
    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith("aioteredo: ")
    assert "does not report Teredo addresses" in error
    assert error.count("\n") == 1


def test_installed_command_prints_the_address_of_the_simulated_client() -> None:
    """The client that restarts by itself has an address."""
    result = run("address", "--backend", "simulated", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["address"].startswith("2001:0:")


def test_no_address_is_reported_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person at a terminal sees why nothing is printed."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with use_backend(SimulatedBackend()):
        assert main(["address"]) == 3
    assert capsys.readouterr().err == "aioteredo: the Teredo client has no address\n"


def test_wait_goes_on_until_the_addresses_are_stable(running: RunningCommand) -> None:
    """``--wait`` prints the addresses once no other one will follow."""
    running.start("address", "--wait", env={"SCRIPTED_UNSTABLE": "1"})
    running.set_addresses(FIRST)
    assert running.read_line() == FIRST
    assert running.wait() == (0, "")


def test_signal_ends_the_wait(running: RunningCommand) -> None:
    """SIGTERM ends a wait for an address that does not come."""
    running.start("address", "--wait", env={"SCRIPTED_UNSTABLE": "1"})
    running.raise_signal(signal.SIGTERM)
    assert running.wait() == (killed_by(signal.SIGTERM), "")
