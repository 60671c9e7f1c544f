"""Numbers as people read them."""

from __future__ import annotations

from typing import Final

from .estimates import Estimate

_SCALES: Final = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_BYTES: Final = ((1e6, "MB"), (1e3, "kB"), (1.0, "B"))
_COUNTS: Final = ((1e6, "M"), (1e3, "k"), (1.0, ""))


def format_amount(value: float, unit: str) -> str:
    """A number in the size of unit that suits it, to three digits."""
    scales = {"ns": _SCALES, "B": _BYTES}.get(unit, _COUNTS)
    size, name = next((s for s in scales if abs(value) >= s[0]), scales[-1])
    number = value / size
    sign, number = ("-", -number) if number < 0 else ("", number)
    digits = 0 if number >= 100 or number == int(number) else 1 if number >= 10 else 2
    return f"{sign}{number:.{digits}f} {name}".strip() + ("/s" if unit == "1/s" else "")


def format_estimate(estimate: Estimate) -> str:
    """A ratio with its interval."""
    value, low, high = estimate
    digits = 2 if value < 10 else 1 if value < 100 else 0
    if low == 0:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
