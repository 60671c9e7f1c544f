"""The grammar of the command line: options, their values, and the operands after them.

The rules are POSIX's and GNU's: ``-n5``, ``-n 5``, ``--count=5`` and ``--count 5`` are the
same, ``-ij`` is ``-i -j``, and the last one of several wins. The first operand ends the
options, and so does ``--``. An option's name cannot be abbreviated.
"""

# argparse would read the options, but not say the same on Python 3.11 to 3.15: messages,
# usage lines, colours and accepted forms differ. It names the command only in some errors,
# it writes to a pipe without noticing that the reader has gone, and its import makes
# "aioteredo port" start later.

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
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


def read(options: Iterable[Option], words: list[str]) -> Iterator[tuple[Option, Any]]:
    """Take the options from the beginning of *words*; the operands are left.

    :raises UsageError: if there is no such option, or its value is wrong
    """
    by_name = {name: option for option in options for name in option.names}

    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word == "--":
            return
        long = word.startswith("--")
        if long:
            name, has_value, text = word.partition("=")
        else:
            name, text = word[:2], word[2:]
            has_value = text

        option = by_name.get(name)
        if option is None:
            raise UsageError(f"there is no option {name!r}{_did_you_mean(name, by_name)}")
        if option.value:
            if not has_value:
                text = _next_value(option, words, by_name)
            yield option, _convert(option, text)
            continue

        if has_value and (long or text.startswith("-")):
            raise UsageError(f"{name} takes no value, but got {text!r}")
        if has_value:  # -ij is -i -j
            words.insert(0, f"-{text}")
        yield option, True


def _next_value(option: Option, words: list[str], names: Iterable[str]) -> str:
    # A negative number is a value, if a wrong one, and so may be other text with a dash.
    # Another option in the place of the value means that the value has been forgotten.
    if words and not words[0].startswith("--") and words[0] not in names:
        return words.pop(0)
    name = option.names[-1]
    hint = f"; write {name}={words[0]} if that is the value" if words else ""
    raise UsageError(f"{name} needs a value, {option.value}{hint}")


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
