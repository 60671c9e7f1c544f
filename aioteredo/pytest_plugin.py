"""The ``teredo`` fixture.

pytest imports this in every run of every project that has the package installed, also
those that never use it. So no backend is imported here until the fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .backends.simulated import SimulatedBackend


@pytest.fixture
def teredo() -> Iterator[SimulatedBackend]:
    """A Teredo client of this test's own, which every watch uses by default."""
    from ._backend import use_backend
    from .backends.simulated import SimulatedBackend

    with SimulatedBackend() as backend, use_backend(backend):
        yield backend
