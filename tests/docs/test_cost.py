"""The table of docs/cost.md: the threads and descriptors of an open watch."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from aioteredo import (
    BackendLike,
    MiredoBackend,
    SimulatedBackend,
    share,
    watch_teredo_port,
)

from ..support.documents import read
from ..support.requirements import require

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="/proc is needed"),
    pytest.mark.asyncio_loops,
]


def threads() -> int:
    """Return the number of threads that last. A thread of a native call is not a daemon."""
    return len([thread for thread in threading.enumerate() if thread.daemon])


def descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


async def costs(backend: BackendLike) -> list[str]:
    """Return the threads and descriptors of a registration.

    A second watch must cost nothing more.
    """
    begin = (threads(), descriptors())
    async with watch_teredo_port(backend=backend):
        first = (threads(), descriptors())
        async with watch_teredo_port(backend=backend):
            assert (threads(), descriptors()) == first

    return [str(after - before) for before, after in zip(begin, first, strict=True)]


def row(backend: str) -> list[str]:
    """Return the threads and the descriptors that the page names for a backend."""
    lines = read("docs/cost.md").splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{backend}` |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")[1:]]
    return ["0" if cell == "none" else cell for cell in cells]


@pytest.mark.parametrize("backend", ["simulated", "miredo"])
async def test_registration_of_a_name_has_the_threads_and_descriptors_of_the_page(
    backend: str,
) -> None:
    """Miredo need not run for that."""
    if sys.platform == "linux" and backend == "miredo":
        from ..support import miredo_lab

        require("miredo", miredo_lab.missing())
    assert await costs(backend) == row(backend)


async def test_each_watch_of_a_miredo_object_costs_as_much_as_a_registration() -> None:
    """The page says how many of them reach the usual limit of descriptors."""
    if sys.platform == "linux":
        from ..support import miredo_lab

        require("miredo", miredo_lab.missing())
    backend = MiredoBackend()
    async with watch_teredo_port(backend=backend):
        before = descriptors()
        async with watch_teredo_port(backend=backend):
            assert str(descriptors() - before) == row("miredo")[1]

    assert 1024 // int(row("miredo")[1]) in range(140, 150)
    assert "About 140 watches of one `MiredoBackend()`" in read("docs/cost.md")


async def test_shared_client_costs_as_much_as_a_registration_of_its_name() -> None:
    """``share()`` makes the watches of an object as cheap as those of a name."""
    assert await costs(share(SimulatedBackend())) == row("simulated")
