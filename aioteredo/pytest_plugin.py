"""The ``teredo`` fixture.

pytest imports this in every run of every project that has the package installed, also
those that never use it. So no backend is imported here until the fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import aioteredo


# The annotation names the package, which imports the class for tools that read it.
@pytest.fixture
def teredo() -> Iterator[aioteredo.SimulatedBackend]:
    """A Teredo client of this test's own, which every watch uses by default."""
    from ._selection import use_backend
    from .backends.simulated import SimulatedBackend

    with SimulatedBackend() as backend, use_backend(backend):
        yield backend
