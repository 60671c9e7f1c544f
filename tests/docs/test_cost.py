"""The table of docs/cost.md: the threads and descriptors of an open watch."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from aioteredo import Backend, MiredoBackend, SimulatedBackend, watch_teredo_port

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


async def costs(backend: Backend) -> tuple[int, int]:
    """Return the threads and descriptors that a second watch adds to the first one."""
    async with watch_teredo_port(backend=backend):
        before = (threads(), descriptors())
        async with watch_teredo_port(backend=backend):
            return threads() - before[0], descriptors() - before[1]


def row(backend: str) -> list[str]:
    """Return the threads and the descriptors that the page names for a backend."""
    lines = read("docs/cost.md").splitlines()
    (line,) = [line for line in lines if line.startswith(f"| `{backend}` |")]
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


async def test_watch_of_miredo_has_the_threads_and_descriptors_of_the_page() -> None:
    """Miredo need not run for that."""
    if sys.platform == "linux":
        from ..support import miredo_lab

        require("miredo", miredo_lab.missing())
    assert [str(cost) for cost in await costs(MiredoBackend())] == row("miredo")


async def test_second_watch_of_a_simulated_client_costs_no_thread() -> None:
    """All watches of a client share the thread of the client."""
    assert await costs(SimulatedBackend()) == (0, 0)
    assert row("simulated") == [
        "none, but one thread for each client that is watched",
        "none",
    ]
