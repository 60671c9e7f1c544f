"""Entry points of packages that are not installed."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import Final

import pytest

from aioteredo import (
    SimulatedBackend,
    _selection,
)


def set_entry_points(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Let installed packages offer these backends: a value for each name."""
    group = _selection.ENTRY_POINT_GROUP
    points = EntryPoints(EntryPoint(n, v, group) for n, v in values.items())
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: points)


OTHER_BACKEND: Final = f"{__name__}:other_backend"
"""The value of an entry point whose backend has the port 1234."""


def other_backend() -> SimulatedBackend:
    return SimulatedBackend(1234)
