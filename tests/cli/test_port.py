"""``aioteredo port``, and the errors of a backend that every command reports alike."""

from __future__ import annotations

import errno
import json
import sys

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.command import run


def test_port_is_printed_as_a_number_or_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """``port`` prints a number, and ``port --json`` an object."""
    with use_backend(SimulatedBackend(4321)):
        assert main(["port"]) == 0
        assert capsys.readouterr().out == "4321\n"
        assert main(["port", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"port": 4321}


@pytest.mark.parametrize("arguments", [["port"], ["port", "--json"]])
def test_without_a_port_nothing_is_printed_and_the_status_is_3(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a port, ``port`` prints nothing and exits with 3."""
    with use_backend(SimulatedBackend()):
        assert main(arguments) == 3
    assert capsys.readouterr() == ("", "")


def test_installed_command_exits_with_3_without_a_port(
    package_of_backends: dict[str, str],
) -> None:
    """The exit status of the real process is 3 if there is no port."""
    result = run("port", "--backend", "none", "--json", env=package_of_backends)
    assert (result.returncode, result.stdout, result.stderr) == (3, "", "")


@pytest.mark.parametrize("arguments", [["port"], ["watch"], ["exec", "--", sys.executable]])
def test_unavailable_backend_is_one_line_and_status_1(
    arguments: list[str], package_of_backends: dict[str, str]
) -> None:
    """A backend that cannot be loaded is reported in one line that names the variable."""
    result = run(*arguments, env=package_of_backends | {"AIOTEREDO_BACKEND": "broken"})
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("aioteredo: AIOTEREDO_BACKEND='broken': ")
    assert result.stderr.count("\n") == 1


def test_reason_of_several_lines_is_reported_in_one(
    package_of_backends: dict[str, str],
) -> None:
    """Line breaks in the reason of a backend become spaces."""
    result = run("port", "--backend", "refused", env=package_of_backends)
    assert result.stderr == "aioteredo: netlink is refused\n"


@pytest.mark.parametrize("code", [errno.EPIPE, errno.EINVAL])
def test_os_error_of_a_backend_is_not_taken_for_a_missing_reader(code: int) -> None:
    """``main()`` raises the OSError of a backend, even with the code of a broken pipe."""

    class Broken(SimulatedBackend):
        def get_port(self) -> int | None:
            raise OSError(code, "of the backend's own pipe")

    with use_backend(Broken()), pytest.raises(OSError, match="the backend's own"):
        main(["port"])
