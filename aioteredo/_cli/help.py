"""The help pages, and the answer to wrong usage. Their content is in ``reference.py``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import Final

from .options import Option, UsageError
from .reference import COMMANDS, MAIN, STATUSES, VARIABLES, Entry

WIDTH: Final = 80
MEANING_COLUMN: Final = 27
OPTION_MEANING_COLUMN: Final = 28


def help_page(name: str | None) -> str:
    """Return the help page of a command, or the main page if *name* is None."""
    command = MAIN if name is None else COMMANDS[name]
    summary = f"{command.summary[0].upper()}{command.summary[1:]}."
    lines = [usage(name), "", summary]
    if name is None:
        lines += ["", *_commands()]

    lines += ["", "options:"]
    for option in command.options:
        lines += _option(option)

    if command.notes:
        lines += ["", "notes:"]
        for note in command.notes:
            lines += wrap(note, WIDTH, initial_indent="  - ", subsequent_indent="    ")

    lines += _section("environment", VARIABLES, name)
    lines += _section("exit status", STATUSES, name)
    lines += ["", f"example: {command.example}"]
    return "\n".join(lines)


def usage(name: str | None) -> str:
    """Return the usage line of a command, or of the program if *name* is None."""
    command = MAIN if name is None else COMMANDS[name]
    words = ["usage: aioteredo", name, "[OPTION ...]", command.operands]
    return " ".join(filter(None, words))


def explain(error: UsageError) -> str:
    """Return the answer to wrong usage: the right usage, the way to help, and the error."""
    # parse() adds the name of the command as a note, unless the command itself is wrong.
    name = next(iter(getattr(error, "__notes__", ())), None)
    program = "aioteredo" if name is None else f"aioteredo {name}"

    lines = [usage(name)]
    if name is None:
        lines += ["", *_commands(), ""]
    lines += [f'See "{program} --help".', f"{program}: {error}"]
    return "\n".join(lines)


def describe_option(option: Option) -> str:
    """Return the effect of an option, and the effect of leaving it out."""
    if not option.default_meaning:
        return option.meaning
    return f"{option.meaning}; default: {option.default_meaning}"


def _commands() -> Iterator[str]:
    yield "commands:"
    for name, command in COMMANDS.items():
        yield from _entry(name, command.summary)


def _option(option: Option) -> Iterator[str]:
    flags = option.flags if ", " in option.flags else f"    {option.flags}"
    name = f"{flags} {option.value}"
    yield from _entry(name, describe_option(option), OPTION_MEANING_COLUMN)

    width = max(map(len, option.choices), default=0)
    for choice, effect in option.choices.items():
        first = f"{' ' * OPTION_MEANING_COLUMN}  {choice:{width}}  "
        rest = " " * len(first)
        yield from wrap(effect, WIDTH, initial_indent=first, subsequent_indent=rest)


def _section(title: str, entries: Iterable[Entry], name: str | None) -> Iterator[str]:
    """Yield the entries of one command, or all entries with the commands that have them."""
    yield ""
    yield f"{title}:"

    for entry in entries:
        if name is None:
            everywhere = len(entry.commands) == len(COMMANDS)
            where = "" if everywhere else f" ({', '.join(entry.commands)})"
            yield from _entry(entry.name, f"{entry.meaning}{where}")
        elif name in entry.commands:
            yield from _entry(entry.name, entry.meaning)


def _entry(name: str, text: str, column: int = MEANING_COLUMN) -> list[str]:
    first = f"  {name}".ljust(column)
    rest = " " * column
    return wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest)
