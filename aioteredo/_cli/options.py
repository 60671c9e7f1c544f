"""The options of the command line, as argparse reads them, and the errors about them."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple


class UsageError(Exception):
    """The command line is wrong: the text says how."""


class Option(NamedTuple):
    """An option of a command. It is a flag unless there is a word for its value."""

    flags: str
    """Its names, as in ``-n, --count``. The last one is long, and names the attribute."""
    meaning: str
    value: str = ""
    """The word that stands for its value in a help page."""
    otherwise: str = ""
    """What happens without the option, as the help page says it."""
    convert: Callable[[str], Any] = str
    """Make the value. A ValueError completes the sentence that the flag begins."""
    default: Any = None
    choices: Mapping[str, str] = {}
    """The words that it accepts, and what each of them means; empty: any text."""
    closed: bool = True
    """Whether there are no other choices than these."""

    @property
    def names(self) -> list[str]:
        return self.flags.split(", ")

    @property
    def attribute(self) -> str:
        return self.names[-1].removeprefix("--").replace("-", "_")


def read(
    options: Iterable[Option], words: Iterable[str]
) -> tuple[dict[str, Any], list[str]]:
    """Read the options at the beginning of *words*; the first operand ends them.

    :return: the value of each option by its attribute, and the operands
    :raises UsageError: if there is no such option, or its value is wrong
    """
    # argparse's own messages differ between the versions of Python, and do not say what
    # to do. So none of them is shown: the functions that convert a value raise UsageError,
    # and ArgumentError only tells which option has no value, or has one too many.
    parser = argparse.ArgumentParser(
        add_help=False,
        allow_abbrev=False,
        exit_on_error=False,
        # Without a width, argparse imports shutil to ask for the terminal's.
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
    if option.choices and option.closed and text not in option.choices:
        raise UsageError(f"{name}: {invalid_choice(text, option.choices)}")
    try:
        return option.convert(text)
    except ValueError as error:
        raise UsageError(f"{name} {error}") from None


def invalid_choice(text: str, choices: Iterable[str]) -> str:
    """Say that *text* is not among *choices*, and which of them may be meant."""
    choices = list(choices)
    advice = _did_you_mean(text, choices) or f": choose from {', '.join(choices)}"
    return f"invalid choice {text!r}{advice}"


def _did_you_mean(text: str, choices: Iterable[str]) -> str:
    from difflib import get_close_matches  # it imports re, which no right usage needs

    near = get_close_matches(text, choices, 1)
    return f": did you mean {near[0]!r}?" if near else ""


def positive(text: str) -> int:
    """Read a whole number of 1 or more.

    :raises ValueError: if *text* isn't one, or no container could hold so many items
    """
    if not text.removeprefix("-").isdecimal():
        raise ValueError(f"must be a whole number, not {text!r}")
    number = int(text[:100])  # int() refuses thousands of digits
    if number < 1:
        raise ValueError(f"must be 1 or more, not {text}")
    if number > sys.maxsize:
        raise ValueError(f"must be {sys.maxsize} or less, not {text}")
    return number


def seconds(text: str) -> float:
    """Read a number of seconds, more than 0.

    :raises ValueError: if *text* isn't one
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
