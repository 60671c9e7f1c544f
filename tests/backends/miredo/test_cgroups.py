"""The choice of Miredo's socket by its cgroup, also in a container."""

from __future__ import annotations

import sys

import pytest

from ...support.python import output_of

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from aioteredo import BackendError, BackendUnavailableError, MiredoBackend
from aioteredo.backends.miredo import (
    _cgroup,
)
from aioteredo.backends.miredo._cgroup import Cgroup

from ...support.miredo import (
    UID,
    bound,
    port_of,
)
from ...support.netlink import EXPECTED
from ...support.waiting import limit


def test_socket_of_the_cgroup_is_the_port(netns: None, cgroup: Path) -> None:
    """With only a cgroup, its socket of any user is found; with a uid, both must match."""
    with bound() as sock:
        assert MiredoBackend(cgroup=cgroup).get_port() == port_of(sock)
        assert MiredoBackend(UID, str(cgroup)).get_port() == port_of(sock)
        assert MiredoBackend(UID + 1, cgroup).get_port() is None


def test_socket_of_another_cgroup_is_not_the_port(netns: None, cgroup: Path) -> None:
    """Another unit's socket is skipped before, while and after the unit exists."""
    unit = cgroup / f"aioteredo-{os.getpid()}.service"
    backend = MiredoBackend(cgroup=unit)  # the unit is not started yet
    with bound():
        assert backend.get_port() is None
        unit.mkdir()
        try:
            assert backend.get_port() is None
        finally:
            unit.rmdir()
        assert backend.get_port() is None


def test_cgroup_that_cannot_be_read_is_an_error(
    netns: None, cgroup: Path, tmp_path: Path
) -> None:
    """An unreadable cgroup raises BackendError instead of giving 'no port'."""
    link = tmp_path / "link"
    link.symlink_to(cgroup)
    backend = MiredoBackend(cgroup=link)
    link.unlink()
    link.symlink_to(link)
    with pytest.raises(BackendError, match=r"^stat: .*ELOOP"):
        backend.get_port()


IN_CGROUP_NAMESPACE = """
import ctypes, os, subprocess, sys
from aioteredo import BackendUnavailableError, MiredoBackend

cgroup, root, unit = sys.argv[1:]
with open(f"{cgroup}/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
clone_newns, clone_newcgroup = 0x20000, 0x2000000
assert ctypes.CDLL(None).unshare(clone_newns | clone_newcgroup) == 0
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "-t", "cgroup2", "cgroup2", root], check=True)
try:
    print(MiredoBackend(cgroup=f"{root}/{unit}").get_port())
except BackendUnavailableError as error:
    print(error)
"""


BOUND_IN_CGROUP = """
import os, socket, sys
with open(f"{sys.argv[1]}/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("", 0))
    print(sock.getsockname()[1], flush=True)
    input()
"""


class Cgroups:
    """A cgroup that a container sees, and one beside it, in a network namespace."""

    def __init__(self, parent: Path, stack: contextlib.ExitStack, root: Path) -> None:
        self._stack = stack
        self._root = root
        base = parent / f"aioteredo-{os.getpid()}"
        self.outside = base / "miredo.service"
        self.inside = base / "container"
        for path in (base, self.outside, self.inside):
            path.mkdir()
            stack.callback(path.rmdir)

    def bind(self, cgroup: Path) -> str:
        """Bind a socket in *cgroup* until the end of the test."""
        process = subprocess.Popen(
            [sys.executable, "-c", BOUND_IN_CGROUP, str(cgroup)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(process.communicate, "\n", limit())
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def ask(self, unit: str) -> str:
        """Ask for the port of *unit* in the container."""
        return output_of(
            IN_CGROUP_NAMESPACE, str(self.inside), str(self._root), unit
        ).strip()


@pytest.fixture
def cgroups(netns: None, cgroup: Path, tmp_path: Path) -> Iterator[Cgroups]:
    with contextlib.ExitStack() as stack:
        yield Cgroups(cgroup, stack, tmp_path)


def test_cgroup_that_a_container_cannot_see_is_unavailable(cgroups: Cgroups) -> None:
    """An absent directory is an error if the unit may run outside of the container."""
    cgroups.bind(cgroups.outside)
    answer = cgroups.ask("miredo.service")
    assert "miredo.service is absent, and" in answer
    assert "run aioteredo outside of the container" in answer


def test_cgroup_absent_in_a_container_with_no_other_socket_is_no_port(
    cgroups: Cgroups,
) -> None:
    """If the container sees the cgroups of all sockets, an absent unit is stopped."""
    cgroups.bind(cgroups.inside)
    assert cgroups.ask("miredo.service") == "None"


def test_cgroup_in_a_container_is_found(cgroups: Cgroups) -> None:
    """A unit in the container is found beside sockets of the outside."""
    unit = cgroups.inside / "miredo.service"
    unit.mkdir()
    try:
        cgroups.bind(cgroups.outside)
        with contextlib.ExitStack() as cgroups._stack:
            port = cgroups.bind(unit)
            assert cgroups.ask("miredo.service") == port
    finally:
        unit.rmdir()


def test_part_of_the_cgroup_tree_shows_the_units_in_it(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An absent unit is an error only if a socket's cgroup is not visible."""
    monkeypatch.setattr(_cgroup, "ROOT_ID", 0)  # No tree is the whole one.
    slice_ = cgroup / f"aioteredo-{os.getpid()}.slice"
    slice_.mkdir()
    try:
        unit = Cgroup(slice_ / "miredo.service")
    finally:
        slice_.rmdir()
    here = EXPECTED._replace(cgroup=cgroup.stat().st_ino)
    assert unit.select([here]) == []
    with pytest.raises(BackendUnavailableError, match="only a part of the cgroup tree"):
        unit.select([here, EXPECTED._replace(cgroup=2**63)])


def test_kernel_without_cgroups_of_sockets_is_unavailable(cgroup: Path) -> None:
    """The error names the needed kernel, and --miredo-uid as the alternative."""
    with pytest.raises(BackendUnavailableError, match=r"Linux 5\.8.*--miredo-uid"):
        Cgroup(cgroup).select([EXPECTED._replace(cgroup=None)])
