"""Numbers in the form in which people read them."""

from __future__ import annotations

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
