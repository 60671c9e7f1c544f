"""Numbers in the form in which people read them."""

from __future__ import annotations

import math
from typing import Final

_TIMES: Final = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_BYTES: Final = ((1e6, "MB"), (1e3, "kB"), (1.0, "B"))
_COUNTS: Final = ((1e6, "M"), (1e3, "k"), (1.0, ""))


def format_amount(value: float, unit: str) -> str:
    """Return *value* with three digits and a suitable prefix of the unit."""
    scales = {"ns": _TIMES, "B": _BYTES}.get(unit, _COUNTS)
    size, name = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    number = abs(value / size)
    digits = 0 if number >= 100 or number == int(number) else 1 if number >= 10 else 2
    sign = "-" if value < 0 else ""
    return f"{sign}{number:.{digits}f} {name}".strip() + ("/s" if unit == "1/s" else "")


def format_value(value: float) -> str:
    """Return a figure without its unit. Pictures and tables show the same digits."""
    return f"{value:,.{_digits(value)}f}"


def format_plus_minus(value: float, low: float, high: float) -> str:
    """Return a figure and its symmetric interval, without the unit."""
    half = (high - low) / 2
    if math.isinf(half):
        return format_value(value)
    digits = max(_digits(value), _digits(100 * half))  # A small interval is not 0.
    return f"{format_value(value)} ± {half:,.{digits}f}"


def format_range(value: float, low: float, high: float) -> str:
    """Return a figure and its interval, without the unit."""
    if math.isinf(high):
        return format_value(value)
    return f"{format_value(value)} [{format_value(low)}, {format_value(high)}]"


def _digits(value: float) -> int:
    return 1 if abs(value) < 100 else 0
