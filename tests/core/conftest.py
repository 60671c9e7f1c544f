"""Fixtures for the tests of the core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aioteredo import SimulatedBackend, _selection

from ..support.kinds import address


@pytest.fixture
def client() -> Iterator[SimulatedBackend]:
    """A simulated Teredo client with the port 1000, and an address with that port."""
    with SimulatedBackend(1000) as client:
        client.set_addresses(address(1000))
        yield client


@pytest.fixture
def no_backend_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """No backend is loaded, and the environment does not name one."""
    monkeypatch.delenv("AIOTEREDO_BACKEND", raising=False)
    monkeypatch.setattr(_selection, "_by_name", {})
