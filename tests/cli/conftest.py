"""Fixtures of the tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.command import VARIABLES, environment, write_package
from ..support.outputs import Output, output


@pytest.fixture(autouse=True)
def _no_shell_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables of the user that change colours or the backend."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def package_of_backends(tmp_path: Path) -> dict[str, str]:
    """Install a package of backends with faults, and return an environment for it."""
    source = """
import sys
from aioteredo import BackendError, BackendUnavailableError, SimulatedBackend

class Refused(SimulatedBackend):
    def get_port(self):
        raise BackendUnavailableError("netlink is\\nrefused")

class Failing(SimulatedBackend):
    def get_port(self):
        raise BackendError("GetTeredoPort", 31)

class Buggy(SimulatedBackend):
    def get_port(self):
        return self.nothing

def exiting():
    sys.exit("not today \\u2192")
"""
    points = [
        "none = package_of_backends:SimulatedBackend",
        "refused = package_of_backends:Refused",
        "failing = package_of_backends:Failing",
        "buggy = package_of_backends:Buggy",
        "exiting = package_of_backends:exiting",
        "broken = no_such_module:Backend",
    ]
    write_package(tmp_path, "package_of_backends", source, "\n".join(points))
    return environment(tmp_path)


@pytest.fixture
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Output]:
    """Yield an output of the kind that the test is parametrized with."""
    with output(request.param, tmp_path) as opened:
        yield opened
