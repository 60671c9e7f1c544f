"""The grammar of options: how argparse reads them, and the messages about wrong options."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple


class UsageError(Exception):
    """An error of the command line, with the message for the user."""


class Option(NamedTuple):
    """An option of a command: a flag, or an option with a value if *value* is not empty."""

    flags: str
    """The names, as in ``-n, --count``. The last name is the long one."""
    meaning: str
    """The effect of the option, as the help page states it."""
    value: str = ""
    """The word that stands for the value in a help page, or "" for a flag."""
    default_meaning: str = ""
    """The effect of leaving the option out, as the help page states it."""
    convert: Callable[[str], Any] = str
    """The function that makes the value from its text.

    Its ValueError says only "must be …"; the parser puts the option's name before that.
    """
    default: Any = None
    """The value if the option is left out."""
    choices: Mapping[str, str] = {}
    """The accepted values and the meaning of each, or empty for any text."""
    accepts_others: bool = False
    """Whether there may be more values than *choices*, which are checked elsewhere."""

    @property
    def names(self) -> list[str]:
        """The names of the option, with their dashes."""
        return self.flags.split(", ")

    @property
    def attribute(self) -> str:
        """The name of the attribute that has the value."""
        return self.names[-1].removeprefix("--").replace("-", "_")


def parse_options(
    options: Iterable[Option], words: Iterable[str]
) -> tuple[dict[str, Any], list[str]]:
    """Parse the options at the beginning of *words*; the first operand ends them.

    :return: the value of each option by its attribute, and the operands
    :raises UsageError: if there is no such option, or its value is wrong
    """
    # argparse's own messages differ between the versions of Python and name no remedy, so
    # none of them is shown. The functions that convert a value raise UsageError. An
    # ArgumentError only says which option lacks its value, or has a value too many.
    parser = argparse.ArgumentParser(
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
        # Without a width, argparse imports shutil to find the width of the terminal, which
        # makes each command start more slowly.
        formatter_class=partial(argparse.HelpFormatter, width=80),
    )

    by_name: dict[str, Option] = {}
    for option in options:
        by_name.update(dict.fromkeys(option.names, option))
        if option.value:
            convert = partial(_convert, option)
            parser.add_argument(*option.names, type=convert, default=option.default)
        else:
            parser.add_argument(*option.names, action="store_true")
    parser.add_argument("operands", nargs=argparse.REMAINDER)

    try:
        namespace, unknown = parser.parse_known_args(list(words))
    except argparse.ArgumentError as error:
        names = (error.argument_name or "").split("/")
        raise UsageError(_describe(by_name[names[-1]])) from None

    values = vars(namespace)
    operands: list[str] = values.pop("operands")
    if operands[:1] == ["--"]:
        del operands[0]

    # A person who asks for help is not told about a wrong option first.
    if unknown and not values.get("help"):
        name = unknown[0].partition("=")[0]
        raise UsageError(f"there is no option {name!r}{_did_you_mean(name, by_name)}")
    return values, operands


def _describe(option: Option) -> str:
    name = option.names[-1]
    if not option.value:
        return f"{name} takes no value"
    return (
        f"{name} needs a value, {option.value}; if the value begins with a dash, write "
        f"{name}={option.value}"
    )


def _convert(option: Option, text: str) -> Any:
    name = option.names[-1]
    if option.choices and not option.accepts_others and text not in option.choices:
        raise UsageError(f"{name}: {invalid_choice(text, option.choices)}")
    try:
        return option.convert(text)
    except ValueError as error:
        raise UsageError(f"{name} {error}") from None


def invalid_choice(text: str, choices: Iterable[str]) -> str:
    """Return the message that *text* is not among *choices*, with a suggestion."""
    choices = list(choices)
    advice = _did_you_mean(text, choices) or f": choose from {', '.join(choices)}"
    return f"invalid choice {text!r}{advice}"


def _did_you_mean(text: str, choices: Iterable[str]) -> str:
    # Imported here, because difflib imports re, and only an error needs it.
    from difflib import get_close_matches

    matches = get_close_matches(text, choices, 1)
    return f": did you mean {matches[0]!r}?" if matches else ""


def parse_positive_integer(text: str) -> int:
    """Return *text* as a whole number of 1 to ``sys.maxsize``, the longest deque.

    :raises ValueError: if *text* is not such a number
    """
    if not text.removeprefix("-").isdecimal():
        raise ValueError(f"must be a whole number, not {text!r}")
    # int() refuses thousands of digits, and a hundred are already too large a number.
    sign = "-" if text.startswith("-") else ""
    digits = text.removeprefix("-").lstrip("0")[:100]
    number = int(f"{sign}{digits or 0}")
    if number < 1:
        raise ValueError(f"must be 1 or more, not {text}")
    if number > sys.maxsize:
        raise ValueError(f"must be {sys.maxsize} or less, not {text}")
    return number


def parse_seconds(text: str) -> float:
    """Return *text* as a finite number of seconds, more than 0.

    :raises ValueError: if *text* is not such a number
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan

    if math.isnan(number):
        raise ValueError(f"must be a number of seconds, not {text!r}")
    if number <= 0:
        raise ValueError(f"must be more than 0 seconds, not {text}")
    if number == math.inf:
        raise ValueError(f"must be a finite number of seconds, not {text}")
    return number
