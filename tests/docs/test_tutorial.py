"""The programs of docs/tutorial.md, and the output that the page shows."""

from __future__ import annotations

import shlex
import sys

import pytest

from ..support.command import run
from ..support.documents import block
from ..support.waiting import limit
from .programs import is_dynamic_port, output_of_program, running_program

PAGE = "docs/tutorial.md"


def test_first_program_prints_the_port() -> None:
    """The program prints a port from the range that the page names."""
    (port,) = output_of_program(block(PAGE, "python", "get_teredo_port(backend"))
    assert is_dynamic_port(port)


def test_second_program_prints_the_present_port_and_then_each_change() -> None:
    """The first line has the type INITIAL, and the others have PARAMETER."""
    shown = block(PAGE, "text", "INITIAL").splitlines()

    with running_program(block(PAGE, "python", "event.notification_type")) as process:
        assert process.stdout is not None
        printed = [process.stdout.readline().rstrip("\n") for _ in range(3)]

    for lines in (printed, shown):
        kinds, ports = zip(*[line.split(" ") for line in lines], strict=True)
        assert kinds == ("INITIAL", "PARAMETER", "PARAMETER")
        assert all(map(is_dynamic_port, ports))


def test_third_program_shows_the_missed_events() -> None:
    """The program prints exactly what the page shows."""
    printed = output_of_program(block(PAGE, "python", "client.burst"))
    assert printed == block(PAGE, "text", "50004").splitlines()


def test_test_passes_in_a_new_project(pytester: pytest.Pytester) -> None:
    """The test passes by the command of the page, and causes no warning."""
    pytester.makepyfile(test_port=block(PAGE, "python", "def test_port"))
    program, *arguments = shlex.split(block(PAGE, "sh", "-m pytest"))
    assert program == ".venv/bin/python"

    # This environment has pytest-asyncio, which the project of the tutorial does not have.
    result = pytester.run(
        *(sys.executable, "-W", "error", *arguments, "-p", "no:asyncio"),
        timeout=limit(),
    )

    result.assert_outcomes(passed=1)
    assert "warning" not in (result.stdout.str() + result.stderr.str()).lower()


def test_command_prints_three_lines() -> None:
    """The command ends by itself after the number of events that it is given."""
    program, *arguments = shlex.split(block(PAGE, "sh", "aioteredo watch"))
    assert program == ".venv/bin/aioteredo"

    result = run(*arguments)

    assert (result.returncode, len(result.stdout.splitlines())) == (0, 3)
