"""The arguments of MiredoBackend, and its defaults."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

from pathlib import Path
from typing import Any

from aioteredo import BackendUnavailableError, MiredoBackend
from aioteredo.backends import miredo


def test_other_system_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of Linux, making the backend raises an error that names the system."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        with pytest.raises(BackendUnavailableError, match=r"needs Linux.*win32"):
            MiredoBackend()


def test_absent_user_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Miredo's user, the error says how to install Miredo or name another user."""
    monkeypatch.setattr(miredo, "USER", "no-such-user")
    with pytest.raises(BackendUnavailableError, match=r"install miredo, or.*uid="):
        MiredoBackend()


def test_present_user_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments, the backend searches the sockets of Miredo's usual user."""
    monkeypatch.setattr(miredo, "USER", "nobody")
    import pwd

    assert MiredoBackend()._uid == pwd.getpwnam("nobody").pw_uid


@pytest.mark.parametrize("uid", [-1, 2**32 - 1])
def test_uid_out_of_range_is_refused(uid: int) -> None:
    """The ValueError names the argument, its range and its value."""
    with pytest.raises(ValueError, match=rf"^uid must be .*, not {uid}$"):
        MiredoBackend(uid=uid)


def test_uid_that_is_not_an_integer_is_refused() -> None:
    """The TypeError names the argument and its value."""
    uid: Any = "x"
    with pytest.raises(TypeError, match=r"^uid must be an integer, not 'x'$"):
        MiredoBackend(uid=uid)


def test_directory_that_is_not_a_cgroup_is_refused(tmp_path: Path) -> None:
    """The ValueError names the argument, for a present and for an absent directory."""
    with pytest.raises(ValueError, match=r"^cgroup must be a directory"):
        MiredoBackend(cgroup=tmp_path)
    with pytest.raises(ValueError, match=r"^cgroup must be a directory"):
        MiredoBackend(cgroup=str(tmp_path / "absent"))


def test_cgroup_that_is_not_a_path_is_refused() -> None:
    """The TypeError names the argument and its value."""
    cgroup: Any = 1
    with pytest.raises(TypeError, match=r"^cgroup must be a path, not 1$"):
        MiredoBackend(cgroup=cgroup)
