"""The options --miredo-uid and --miredo-cgroup of the command line."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

from pathlib import Path
from typing import Any

from aioteredo import MiredoBackend
from aioteredo._cli.commands import main

from ...support.command import run as run_command
from ...support.miredo import (
    UID,
    bound,
    port_of,
)


def run_in_this_process(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, Any]:
    """Return the exit status of ``port``, and the backend that it asked."""
    asked = []

    def get_port(backend: MiredoBackend) -> int:
        asked.append(backend)
        return 51234

    monkeypatch.setattr(MiredoBackend, "get_port", get_port)
    status = main(["port", *arguments])
    return status, asked.pop() if asked else None


@pytest.mark.parametrize("user", ["nobody", "65534"])
def test_user_can_be_a_name_or_a_number(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """--miredo-uid accepts the name of a user and its number."""
    arguments = ["--backend", "miredo", "--miredo-uid", user]
    status, backend = run_in_this_process(arguments, monkeypatch)
    assert (status, backend._uid) == (0, 65534)


def test_options_apply_to_the_default_backend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The options are accepted if AIOTEREDO_BACKEND chooses Miredo."""
    monkeypatch.setenv("AIOTEREDO_BACKEND", "miredo")
    status, backend = run_in_this_process(["--miredo-uid", "12345"], monkeypatch)
    assert (status, backend._uid) == (0, 12345)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("--miredo-uid=no-such-user", "--miredo-uid: there is no user 'no-such-user'"),
        ("--miredo-uid=4294967295", "--miredo-uid: uid must be 0 to 4294967294"),
        ("--miredo-cgroup=/", "--miredo-cgroup: cgroup must be a directory in the"),
    ],
)
def test_impossible_user_or_cgroup_exits_with_2(
    option: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the option, and the exit status is that of wrong usage."""
    assert main(["watch", "--backend=miredo", option]) == 2
    assert error in capsys.readouterr().err


def test_options_on_another_system_exit_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outside of Linux the options are not wrong usage; the backend is unavailable."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        status = main(["port", "--backend=miredo", "--miredo-uid=miredo"])
    assert status == 1
    assert "needs Linux, and this is darwin" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["port"], ["watch", "--initial", "--count=1"], ["exec", "--initial"]]
)
def test_commands_follow_the_user_that_is_given(netns: None, command: list[str]) -> None:
    """port, watch and exec find the socket of the user in --miredo-uid."""
    options = ["--backend=miredo", f"--miredo-uid={UID}"]
    run_it = ["--fail-fast", "--", "sh", "-c", "echo {port}; exit 1"]
    with bound() as sock:
        arguments = [*command, *options, *(run_it if command[0] == "exec" else [])]
        output = run_command(*arguments).stdout
        assert output.split()[-1] == str(port_of(sock))


def test_command_follows_the_cgroup_that_is_given(netns: None, cgroup: Path) -> None:
    """Port finds the socket of the cgroup in --miredo-cgroup."""
    with bound() as sock:
        output = run_command("port", "--backend=miredo", f"--miredo-cgroup={cgroup}").stdout
        assert output == f"{port_of(sock)}\n"
