"""Checks of arguments that several functions share."""

from __future__ import annotations

import operator


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
