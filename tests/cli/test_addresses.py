"""``watch --addresses`` and ``exec --addresses``, which follow the Teredo addresses."""

from __future__ import annotations

import json
import sys
from typing import Final

import pytest

from ..support.running import RunningCommand
from .wrong_usage import answer_to_wrong_usage

# The server is 65.54.227.120. The external port is 40000 of 192.0.2.45, behind a cone NAT.
FIRST: Final = "2001:0:4136:e378:8000:63bf:3fff:fdd2"
SECOND: Final = "2001:0:4136:e378:8000:63be:3fff:fdd2"

SHOW: Final = [
    sys.executable,
    "-ISc",
    "import os, sys; print(sys.argv[1:], *(os.environ[f'TEREDO_{name}'] for name in "
    "('ADDRESS', 'MAPPED_ADDRESS', 'MAPPED_PORT', 'PREVIOUS_ADDRESS')), sep=';')",
    "{address} {mapped_address} {mapped_port} {port}",
]


def test_watch_prints_each_change_of_the_addresses(running: RunningCommand) -> None:
    """A line has the addresses before and after the change."""
    utf8 = {"PYTHONUTF8": "1"}  # The encoding of a pipe on Windows may lack the arrow.
    running.start("watch", "--addresses", "--initial", env=utf8)
    assert running.read_line().endswith("  no address")
    running.set_addresses(FIRST)
    assert running.read_line().endswith(f"  no address → {FIRST}")
    running.set_addresses(FIRST, SECOND)
    assert running.read_line().endswith(f"  {FIRST} → {SECOND}, {FIRST}")


def test_watch_does_not_print_changes_of_the_port(running: RunningCommand) -> None:
    """A change of the port is no change of the addresses."""
    running.start("watch", "--addresses", "--count=1", "--json")
    running.change(5)
    running.set_addresses(FIRST)
    assert json.loads(running.read_line())["addresses"][0]["address"] == FIRST
    assert running.wait() == (0, "")


def test_json_of_watch_has_the_fields_of_each_address(running: RunningCommand) -> None:
    """An event is an object with a list of addresses in place of the port."""
    running.start("watch", "--addresses", "--json")
    running.set_addresses(FIRST)
    event = json.loads(running.read_line())
    assert list(event) == [
        "time",
        "addresses",
        "notification_type",
        "missed",
        "monotonic_ns",
    ]
    assert event["addresses"] == [
        {
            "address": FIRST,
            "server": "65.54.227.120",
            "flags": 0x8000,
            "cone": True,
            "mapped_address": "192.0.2.45",
            "mapped_port": 40000,
        }
    ]

    running.set_addresses()
    assert json.loads(running.read_line())["addresses"] == []


def test_cmd_gets_the_fields_of_the_address(running: RunningCommand) -> None:
    """CMD gets the address in its arguments and in its environment."""
    running.start("exec", "--addresses", "--", *SHOW)
    running.set_addresses(FIRST)
    words = f"{FIRST} 192.0.2.45 40000 {{port}}"
    assert running.read_line() == f"['{words}'];{FIRST};192.0.2.45;40000;"

    running.set_addresses(SECOND)
    words = f"{SECOND} 192.0.2.45 40001 {{port}}"
    assert running.read_line() == f"['{words}'];{SECOND};192.0.2.45;40001;{FIRST}"


def test_cmd_gets_the_first_of_several_addresses(running: RunningCommand) -> None:
    """Addresses are sorted, and CMD gets the lowest one."""
    running.start("exec", "--addresses", "--", *SHOW)
    running.set_addresses(FIRST, SECOND)
    assert f";{SECOND};" in running.read_line()


def test_cmd_is_not_run_while_there_is_no_address(running: RunningCommand) -> None:
    """An address that goes away starts no run."""
    running.start("exec", "--addresses", "--initial", "--", *SHOW)
    running.set_addresses(FIRST)
    assert f";{FIRST};" in running.read_line()
    running.set_addresses()
    running.set_addresses(SECOND)
    assert running.read_line().endswith(f";{SECOND};192.0.2.45;40001;{FIRST}")


def test_text_of_no_address_stands_for_each_placeholder(running: RunningCommand) -> None:
    """Without an address, CMD gets the text of ``--no-address``."""
    running.start("exec", "--addresses", "--initial", "--no-address=none", "--", *SHOW)
    assert running.read_line() == "['none none none {port}'];none;none;none;"


def test_text_of_no_address_is_not_searched_for_placeholders(
    running: RunningCommand,
) -> None:
    """A placeholder in the text reaches CMD as it is."""
    text = "{mapped_address}?"
    running.start("exec", "--addresses", "-i", f"--no-address={text}", "--", *SHOW)
    words = f"{text} {text} {text} {{port}}"
    assert running.read_line() == f"['{words}'];{text};{text};{text};"


def test_failed_run_is_reported_with_the_address(running: RunningCommand) -> None:
    """The report of a failure names the address."""
    running.start("exec", "--addresses", "--fail-fast", "--", sys.executable, "-c", "1/0")
    running.set_addresses(FIRST)
    status, error = running.wait()
    assert status == 1
    assert f"aioteredo: address {FIRST}: {sys.executable!r} failed" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--addresses", "--no-port=0"],
            "--no-port does not go with --addresses; use --no-address instead",
        ),
        (
            ["--no-address=none"],
            "--no-address needs --addresses; use --no-port to follow the port",
        ),
    ],
)
def test_text_for_the_other_value_is_wrong_usage(options: list[str], message: str) -> None:
    """The text for a missing port or address is refused where it has no effect."""
    answer = answer_to_wrong_usage("exec", *options, "--", sys.executable)
    assert answer == f"aioteredo exec: {message}"
