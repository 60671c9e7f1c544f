"""Fixtures of the tests of the Miredo backend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aioteredo import MiredoBackend
from aioteredo.backends.miredo import _ports

from ...support.requirements import require

if TYPE_CHECKING:
    from ...support.miredo_lab import Lab


@pytest.fixture
def backend(netns: None) -> MiredoBackend:
    """A backend that finds the sockets of ``bound()`` and no other ones."""
    from ...support.miredo import UID

    return MiredoBackend(uid=UID)


@pytest.fixture
def no_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No repeated dumps, so that only an event can cause a dump."""
    monkeypatch.setattr(_ports, "RETRY_FOR", 0.0)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A millisecond instead of a minute between two dumps without an event."""
    monkeypatch.setattr(_ports, "RETRY_LATER", 0.001)


@pytest.fixture
def cgroup() -> Path:
    """The directory of this process in the cgroup v2 file system."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            mine = Path("/proc/self/cgroup").read_text().splitlines()
            (relative,) = (row[3:] for row in mine if row.startswith("0::"))
            path = Path(fields.split()[4] + relative)
            if (path / "cgroup.controllers").exists():
                return path
    require("miredo", "there is no cgroup v2 file system")
    raise AssertionError


@pytest.fixture(scope="module")
def direct_lab() -> Iterator[Lab]:
    """A network with a Teredo server, for all tests of a module."""
    # Imported here, because its modules of the standard library are missing on Windows.
    from ...support import miredo_lab

    require("miredo", miredo_lab.missing())
    with miredo_lab.Lab() as lab:
        yield lab


@pytest.fixture
def lab(direct_lab: Lab) -> Iterator[Lab]:
    """The lab without a client and without a watcher."""
    with direct_lab.fresh():
        yield direct_lab
