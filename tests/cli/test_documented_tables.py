"""The tables of docs/command-line.md repeat the help pages and the output."""

from __future__ import annotations

import itertools
import json
import re
from typing import Final

import pytest

from aioteredo._cli.command_options import HELP
from aioteredo._cli.reference import (
    COMMANDS,
    STATUSES,
    VARIABLES,
    Entry,
)

from ..support.command import run
from ..support.documents import ROOT

PAGE: Final = "docs/command-line.md"


def options_table() -> list[str]:
    options = [option for command in COMMANDS.values() for option in command.options]
    lines = ["| option | commands | meaning | default |", "|---|---|---|---|"]
    lines.append(row("`--version`", "", "show the version", ""))
    for option in [o for n, o in enumerate(options) if o not in options[:n]]:
        commands = [name for name, c in COMMANDS.items() if option in c.options]
        *short, long = option.names
        value = f" {option.value}" if option.value else ""
        flags = ", ".join(f"`{flag}`" for flag in [*short, f"{long}{value}"])
        where = "all" if option is HELP else ", ".join(commands)
        text = option.meaning
        if option.choices:
            text += f": {', '.join(f'`{choice}`' for choice in option.choices)}"
        lines.append(row(flags, where, text, option.default_meaning))
    return lines


def entries_table(title: str, entries: tuple[Entry, ...]) -> list[str]:
    lines = [f"| {title} | commands | meaning |", "|---|---|---|"]
    for entry in entries:
        everywhere = len(entry.commands) == len(COMMANDS)
        where = "all" if everywhere else ", ".join(entry.commands)
        lines.append(row(f"`{entry.name}`", where, entry.meaning))
    return lines


def row(*cells: str) -> str:
    line = f"| {' | '.join(cells)} |".replace("|  |", "| |")
    # Outside of code, Sphinx would print the two hyphens of an option as a dash.
    return re.sub(r"(?<=[ (])--[a-z-]+", r"`\g<0>`", line)


def table_below(heading: str) -> list[str]:
    """Return the rows of the page's table that has this heading, and the heading."""
    lines = (ROOT / PAGE).read_text("utf-8").splitlines()
    rows = lines[lines.index(heading) :]
    return list(itertools.takewhile(lambda line: line.startswith("|"), rows))


@pytest.mark.parametrize(
    "table",
    [
        options_table(),
        entries_table("exit status", STATUSES),
        entries_table("environment variable", VARIABLES),
    ],
    ids=["options", "exit statuses", "variables"],
)
def test_table_of_the_page_repeats_the_help_pages(table: list[str]) -> None:
    """The table has each option, exit status or variable of the help pages."""
    assert table_below(table[0]) == table, "write it as: \n" + "\n".join(table)


@pytest.mark.parametrize(
    "arguments",
    [
        ("watch", "--backend", "simulated", "--initial", "--count", "1"),
        ("port", "--backend", "simulated"),
        ("address", "--backend", "simulated"),
        ("backends",),
    ],
    ids=["watch", "port", "address", "backends"],
)
def test_table_of_json_has_each_key_of_the_output(arguments: tuple[str, ...]) -> None:
    """The table lists the keys of each command in the order of the output."""
    output = run(*arguments, "--json").stdout.splitlines()[0]

    rows = table_below("| command | key | value |")[2:]
    start = f"| `{arguments[0]}` | `"
    keys = [row.removeprefix(start).split("`")[0] for row in rows if row.startswith(start)]
    assert keys == list(json.loads(output))
