"""Fixtures for the tests of the core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aioteredo import SimulatedBackend


@pytest.fixture
def client() -> Iterator[SimulatedBackend]:
    """A Teredo client with the port 1000."""
    with SimulatedBackend(1000) as client:
        yield client
