"""The pytest fixture ``teredo``, in every project that has aioteredo installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import aioteredo


# The annotation is read from the package, because SimulatedBackend is not a name of this
# module: typing.get_type_hints() would not find it.
@pytest.fixture
def teredo() -> Iterator[aioteredo.SimulatedBackend]:
    """A simulated Teredo client of this test's own, which every watch uses by default."""
    # Not imported at the top: pytest imports this module in each run, even in projects that
    # never use the fixture.
    from ._selection import use_backend
    from .backends.simulated import SimulatedBackend

    with SimulatedBackend() as backend, use_backend(backend):
        yield backend
