"""README's tables of options, exit statuses and variables repeat the help pages."""

from __future__ import annotations

import pytest

from aioteredo._cli.command_options import HELP
from aioteredo._cli.reference import (
    COMMANDS,
    STATUSES,
    VARIABLES,
    Entry,
)

from ..support.readme import README


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
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


@pytest.mark.parametrize(
    "table",
    [
        options_table(),
        entries_table("exit status", STATUSES),
        entries_table("environment variable", VARIABLES),
    ],
    ids=["options", "exit statuses", "variables"],
)
def test_table_of_the_readme_repeats_the_help_pages(table: list[str]) -> None:
    """The table has each option, exit status or variable of the help pages."""
    lines = README.read_text("utf-8").splitlines()
    start = lines.index(table[0])
    end = lines.index("", start)
    assert lines[start:end] == table, "write it as: \n" + "\n".join(table)
