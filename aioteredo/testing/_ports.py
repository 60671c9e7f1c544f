"""The ports that the rules give to the Teredo client of a backend."""

from __future__ import annotations

from typing import Final

PORTS: Final = range(50_000, 50_020)
LAST_PORT: Final = 50_020
HIGHEST_PORT: Final = 65_535
