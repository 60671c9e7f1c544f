"""Fixtures of the tests of the Miredo backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioteredo import MiredoBackend
from aioteredo.backends.miredo import _ports

from ...support.requirements import require


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
