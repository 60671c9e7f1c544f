"""Checks of arguments that several functions share."""

from __future__ import annotations

import operator
import threading


def check_integer(
    name: str, value: object, lowest: int, highest: int, *, or_none: bool = False
) -> int:
    """Return *value* as an int.

    :param or_none: whether the caller accepts None as well. The errors then mention None
    :raises TypeError: if *value* is not an integer
    :raises ValueError: if *value* is not in *lowest* to *highest*
    """
    alternative = " or None" if or_none else ""
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # it raises TypeError
    except TypeError:
        raise TypeError(f"{name} must be an integer{alternative}, not {value!r}") from None
    if not lowest <= number <= highest:
        raise ValueError(f"{name} must be {lowest} to {highest}{alternative}, not {number}")
    return number


def check_seconds(name: str, seconds: float) -> None:
    """Check a number of seconds for which a thread may wait.

    :raises TypeError: if *seconds* is not a number
    :raises ValueError: if *seconds* is not more than 0, or is too large
    """
    try:
        in_range = 0 < seconds <= threading.TIMEOUT_MAX
    except TypeError:
        raise TypeError(f"{name} must be a number of seconds, not {seconds!r}") from None
    if not in_range:
        raise ValueError(f"{name} must be seconds, more than 0, not {seconds!r}")
