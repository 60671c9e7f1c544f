"""Fixtures of the tests of the backends."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator

import pytest

from aioteredo import SimulatedBackend


@pytest.fixture
def netns() -> Iterator[None]:
    """A new network namespace for this thread and the threads that it starts."""
    if sys.platform != "linux":
        pytest.skip("network namespaces are a feature of Linux")

    # Imported here, because its modules of the standard library are missing on Windows.
    from ..support.miredo import network_namespace

    with network_namespace():
        yield


@pytest.fixture
def client() -> Generator[SimulatedBackend]:
    """A simulated client with the port 1000, which is closed after the test."""
    with SimulatedBackend(1000, seed=1) as client:
        yield client
