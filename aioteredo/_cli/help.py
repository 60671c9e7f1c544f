"""The help pages, and what wrong usage is answered with.

A page is a list of facts in 80 columns. Its content is in ``reference.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import Final

from .options import Option, UsageError
from .reference import COMMANDS, MAIN, STATUSES, VARIABLES, Fact

WIDTH: Final = 80
COLUMN: Final = 24  # where the meanings begin
OPTIONS_COLUMN: Final = 28


def page(name: str | None) -> str:
    """Return the help page of a command, or of all of them."""
    command = MAIN if name is None else COMMANDS[name]
    summary = f"{command.summary[0].upper()}{command.summary[1:]}."
    lines = [usage(name), "", summary]
    if name is None:
        lines += ["", *_commands()]

    lines += ["", "options:"]
    for option in command.options:
        lines += _option(option)

    if command.facts:
        lines += ["", "notes:"]
        for fact in command.facts:
            lines += wrap(fact, WIDTH, initial_indent="  - ", subsequent_indent="    ")

    lines += _section("environment", VARIABLES, name)
    lines += _section("exit status", STATUSES, name)
    lines += ["", f"example: {command.example}"]
    return "\n".join(lines)


def usage(name: str | None) -> str:
    """Return the usage line of a command, or of all of them."""
    command = MAIN if name is None else COMMANDS[name]
    words = ["usage: aioteredo", name, "[OPTION ...]", command.operands]
    return " ".join(filter(None, words))


def explain(error: UsageError) -> str:
    """Return the lines that answer wrong usage: how it is right, and what was wrong."""
    name = next(iter(getattr(error, "__notes__", ())), None)
    program = "aioteredo" if name is None else f"aioteredo {name}"
    lines = [usage(name)]
    if name is None:
        lines += ["", *_commands(), ""]
    lines += [f'See "{program} --help".', f"{program}: {error}"]
    return "\n".join(lines)


def meaning(option: Option) -> str:
    """Return what an option does, and what happens without it."""
    default = f"; default: {option.otherwise}" if option.otherwise else ""
    return f"{option.meaning}{default}"


def _commands() -> Iterator[str]:
    yield "commands:"
    for name, command in COMMANDS.items():
        yield from _entry(name, command.summary)


def _option(option: Option) -> Iterator[str]:
    flags = option.flags if ", " in option.flags else f"    {option.flags}"
    yield from _entry(f"{flags} {option.value}", meaning(option), OPTIONS_COLUMN)

    width = max(map(len, option.choices), default=0)
    for choice, effect in option.choices.items():
        first = f"{' ' * OPTIONS_COLUMN}  {choice:{width}}  "
        rest = " " * len(first)
        yield from wrap(effect, WIDTH, initial_indent=first, subsequent_indent=rest)


def _section(title: str, facts: Iterable[Fact], command: str | None) -> Iterator[str]:
    yield from ("", f"{title}:")
    for fact in facts:
        if command is None:
            everywhere = len(fact.commands) == len(COMMANDS)
            where = "" if everywhere else f" ({', '.join(fact.commands)})"
            yield from _entry(fact.name, f"{fact.meaning}{where}")
        elif command in fact.commands:
            yield from _entry(fact.name, fact.meaning)


def _entry(name: str, text: str, column: int = COLUMN) -> list[str]:
    first, rest = f"  {name}".ljust(column), " " * column
    return wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest)
