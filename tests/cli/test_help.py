"""The help pages, and their agreement with the parser."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from aioteredo._cli.command_options import BACKEND, HELP
from aioteredo._cli.commands import main
from aioteredo._cli.help import describe_option
from aioteredo._cli.options import parse_options
from aioteredo._cli.reference import (
    COMMANDS,
    MAIN,
    STATUSES,
    VARIABLES,
    Command,
)
from aioteredo._selection import BUILT_IN

from ..support.command import environment, run

PAGES: Mapping[str | None, Command] = {None: MAIN} | dict(COMMANDS.items())


Page = Callable[..., str]


@pytest.fixture
def page(capsys: pytest.CaptureFixture[str]) -> Page:
    """Return a function that returns the help page which arguments ask for."""

    def ask(*arguments: str) -> str:
        assert main(arguments) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return ask


@pytest.mark.parametrize("arguments", [["-h"], ["help"]])
def test_main_help_page_has_three_names(arguments: list[str], page: Page) -> None:
    """``help``, ``--help`` and ``-h`` print the same page."""
    assert page(*arguments) == page("--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_page_of_a_command_has_three_names(command: str, page: Page) -> None:
    """``help watch``, ``watch --help`` and ``watch -h`` print the same."""
    option = "-i" if command in ("watch", "exec") else "-j"
    expected = page("help", command)
    assert page(command, "--help") == expected
    assert page(command, f"{option}h", "--nonsense") == expected


@pytest.mark.parametrize("name", PAGES)
def test_help_page_is_complete(name: str | None, page: Page) -> None:
    """A page has 80 columns and lists the options, statuses and variables of a command."""
    text = page(*filter(None, [name]), "--help")
    assert max(map(len, text.splitlines())) <= 80
    assert "example: aioteredo" in text

    words = " ".join(text.split())
    for option in PAGES[name].options:
        flags = f"{option.flags} {option.value}".strip()
        assert f"{flags} {describe_option(option)}" in words
        for choice, effect in option.choices.items():
            assert f"{choice} {effect}" in words
    for entry in STATUSES + VARIABLES:
        expected = name is None or name in entry.commands
        assert (f" {entry.name} {entry.meaning}" in words) is expected


def test_help_page_has_no_colours(page: Page) -> None:
    """The page is the same in a pipe and on each Python, even with FORCE_COLOR."""
    result = run("exec", "--help", env=environment(FORCE_COLOR="1"))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == page("exec", "--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_parser_accepts_the_options_of_the_help_page(name: str) -> None:
    """Each name of each option is accepted, and the page states the default."""
    command = COMMANDS[name]
    cmd = ["true"] if command.operands else []
    defaults, _ = parse_options(command.options, cmd)
    for option in command.options:
        if option is HELP:
            continue
        if option.default not in (None, False):
            assert option.default_meaning == str(option.default)
        assert defaults[option.attribute] == option.default
        value = [next(iter(option.choices), "7")] if option.value else []
        for flag in option.names:
            values, _ = parse_options(command.options, [flag, *value, *cmd])
            text = str(values[option.attribute]).removesuffix(".0")
            assert text == (value or ["True"])[0]


def test_help_pages_list_the_built_in_backends() -> None:
    """Each built-in backend is a choice of ``--backend``."""
    assert [*BACKEND.choices] == [*BUILT_IN]
