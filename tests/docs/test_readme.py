"""README.md: its programs, its transcript, its length and its links."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from ..support import command
from ..support.documents import ROOT, block, read
from ..support.running import RunningCommand
from .programs import is_dynamic_port, output_of_program

SITE = "https://aioteredo.readthedocs.io/en/latest/"
RAW = "https://raw.githubusercontent.com/aioteredo/aioteredo/main/"


def test_first_program_prints_three_ports() -> None:
    """The program ends by itself, and its output looks as the page shows it."""
    printed = output_of_program(block("README.md", "python", "asyncio.run"))
    shown = block("README.md", "text", "52718").splitlines()

    assert len(printed) == len(shown) == 3
    assert all(map(is_dynamic_port, [*printed, *shown]))


def test_service_is_the_one_that_the_documentation_explains_and_tests() -> None:
    """The page docs/service.md explains the same loop, and docs/testing.md tests it."""
    readme = block("README.md", "python", "async def mirror_teredo_port")
    assert block("docs/service.md", "python", "async def mirror_teredo_port") == readme


def test_example_test_passes_in_a_new_project(pytester: pytest.Pytester) -> None:
    """The test needs no configuration and no other plugin, and causes no warning."""
    pytester.makepyfile(block("README.md", "python", "async def test_restart"))

    # This environment has pytest-asyncio, which a new project does not have.
    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:asyncio")

    result.assert_outcomes(passed=1)
    assert "deprecat" not in (result.stdout.str() + result.stderr.str()).lower()


def test_watch_prints_as_in_the_transcript(running: RunningCommand) -> None:
    """``aioteredo watch`` prints the lines of the page, except for the times."""
    time = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ")
    transcript = block("README.md", "console", "watch --initial").splitlines()
    shown = [line for line in transcript if time.match(line)]

    running.start("watch", env={"PYTHONIOENCODING": "utf-8"})
    for port in (51234, None, 60123):
        running.change(port)
    printed = [running.read_line() for _ in shown]

    assert [time.sub("TIME", line) for line in printed] == [
        time.sub("TIME", line) for line in shown
    ]


def test_exec_runs_the_command_of_the_transcript() -> None:
    """``aioteredo exec`` calls the program with the port, as the page says."""
    transcript = block("README.md", "console", "watch --initial").splitlines()
    (line,) = [line for line in transcript if " exec " in line]
    _, _, subcommand, *words = shlex.split(line)
    position = words.index("upnpc")
    recorder = (sys.executable, "-c", "import sys; print(*sys.argv[1:])")
    words[position : position + 1] = recorder

    result = command.run(subcommand, "--count", "1", "--backend", "simulated", *words)

    option, port, protocol = result.stdout.split()
    assert (option, protocol) == ("-r", "udp")
    assert is_dynamic_port(port)


def test_page_is_short() -> None:
    """The front door has at most 150 lines; the documentation has the rest."""
    assert len(read("README.md").splitlines()) <= 150


def test_links_are_absolute() -> None:
    """PyPI shows the page without the files beside it."""
    targets = re.findall(r"\]\(([^)]*)\)|(?:src|srcset)=\"([^\"]*)\"", read("README.md"))
    for target in map("".join, targets):
        assert target.startswith("https://"), target


def test_links_to_the_project_have_a_target() -> None:
    """Each link to the documentation has a page, and each picture is in the repository."""
    text = read("README.md")
    for page in re.findall(rf"{re.escape(SITE)}([\w./-]+)\.html", text):
        assert (ROOT / "docs" / f"{page}.md").is_file(), page
    for picture in re.findall(rf"{re.escape(RAW)}([\w./-]+)", text):
        assert (ROOT / Path(picture)).is_file(), picture
