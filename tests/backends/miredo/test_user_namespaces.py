"""Users that a user namespace hides from the backend."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from aioteredo import BackendUnavailableError, MiredoBackend
from aioteredo.backends.miredo import (
    _user_namespace,
)

from ...support.miredo import (
    UID,
    bound,
    port_of,
    tunnel,
)
from ...support.waiting import kill_at_the_limit

IN_USER_NAMESPACE = """
import ctypes, queue, sys
from aioteredo import BackendUnavailableError, MiredoBackend

class Sink(queue.SimpleQueue):
    def push(self, port, notification_type):
        self.put(port)
    fail = queue.SimpleQueue.put

backend = MiredoBackend(uid=int(sys.argv[1]))
clone_newuser = 0x10000000
print("refused" if ctypes.CDLL(None).unshare(clone_newuser) else "unshared", flush=True)
input()
try:
    if sys.argv[2] == "port":
        print(backend.get_port())
    else:
        sink = Sink()
        subscription = backend.subscribe(sink, initial=True)
        print(sink.get(), flush=True)
        error = sink.get()
        print(error.symbol, error.__cause__)
        subscription.cancel()
except BackendUnavailableError as error:
    print(error)
"""


SHIFTED = "0 1000 1\n1 100000 65536\n"  # as a rootless container has it


@contextlib.contextmanager
def in_user_namespace(uid_map: str, uid: int, what: str) -> Iterator[Iterator[str]]:
    """Run the backend in a user namespace with *uid_map*; yield the lines it prints."""
    with subprocess.Popen(
        [sys.executable, "-c", IN_USER_NAMESPACE, str(uid), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        timer = kill_at_the_limit(process)
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            answer = process.stdout.readline()
            if answer == "refused\n":
                pytest.skip(
                    "the kernel refuses user namespaces here, as it does in a chroot"
                )
            assert answer == "unshared\n"
            Path(f"/proc/{process.pid}/uid_map").write_text(uid_map)
            process.stdin.write("\n")
            process.stdin.flush()
            yield (line.rstrip("\n") for line in process.stdout)
        finally:
            timer.cancel()
            process.kill()


def port_in_user_namespace(uid_map: str, uid: int = UID) -> str:
    with in_user_namespace(uid_map, uid, "port") as lines:
        return next(lines)


def test_user_that_is_not_mapped_is_unavailable(netns: None) -> None:
    """If Miredo's user is not mapped, the error says so even if Miredo is stopped."""
    answer = port_in_user_namespace("0 0 1\n")
    assert f"user {UID} is not mapped in this user namespace: run aioteredo" in answer


def test_uid_of_another_user_in_the_namespace_is_unavailable(netns: None) -> None:
    """If the uid means another user in the namespace, a socket may still be Miredo's."""
    with bound():
        answer = port_in_user_namespace(SHIFTED)
    assert f"no UDP socket of user {UID} is visible, and one of a user" in answer
    assert "--miredo-cgroup or MiredoBackend(cgroup=...)" in answer


def test_overflow_uid_is_unavailable(netns: None) -> None:
    """The uid that stands for all unmapped users cannot be chosen."""
    with bound():
        answer = port_in_user_namespace(SHIFTED, 65534)
    assert "user 65534 is not mapped" in answer


def test_user_that_is_mapped_is_found_in_a_user_namespace(netns: None) -> None:
    """A mapped user's socket is found beside one of an unmapped user."""
    with bound() as sock, bound(uid=UID + 1):
        assert port_in_user_namespace(f"{UID} {UID} 1\n") == str(port_of(sock))


def test_socket_of_another_mapped_user_is_no_port(netns: None) -> None:
    """If the only socket belongs to another mapped user, there is no port."""
    with bound(uid=UID + 1):
        assert port_in_user_namespace(f"{UID} {UID} 2\n") == "None"


def test_map_of_all_users_hides_none(netns: None) -> None:
    """If all users are mapped, the overflow uid is an ordinary user."""
    with bound(uid=65534):
        assert port_in_user_namespace("0 0 4294967295\n") == "None"


def test_socket_of_an_unmapped_user_ends_a_watch(netns: None) -> None:
    """A later socket that may be Miredo's fails the watch instead of giving 'no port'."""
    with in_user_namespace(SHIFTED, UID, "watch") as lines:
        assert next(lines) == "None"
        with tunnel(), bound():
            assert next(lines).startswith(f"EACCES no UDP socket of user {UID} is visible")


def test_kernel_without_user_namespaces_hides_no_user(
    backend: MiredoBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a map, the overflow uid is an ordinary user."""
    monkeypatch.setattr(_user_namespace, "UID_MAP", str(tmp_path / "absent"))
    with bound(uid=65534):
        assert backend.get_port() is None


@pytest.mark.parametrize(
    ("uid_map", "reason"),
    [("0 1000 1\n", f"user {UID} is not mapped"), (SHIFTED, "may be Miredo's")],
)
def test_map_is_read_when_the_port_is_asked_for(
    backend: MiredoBackend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uid_map: str,
    reason: str,
) -> None:
    """A map that was written after the backend was made is used."""
    path = tmp_path / "uid_map"
    path.write_text(uid_map)
    monkeypatch.setattr(_user_namespace, "UID_MAP", str(path))
    with bound(uid=65534), pytest.raises(BackendUnavailableError, match=reason):
        backend.get_port()


def test_overflow_uid_that_cannot_be_read_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If /proc hides the overflow uid, the kernel's default is used."""
    uid_map = tmp_path / "uid_map"
    uid_map.write_text("0 1000 1\n")
    monkeypatch.setattr(_user_namespace, "UID_MAP", str(uid_map))
    monkeypatch.setattr(_user_namespace, "OVERFLOW_UID", str(tmp_path / "absent"))
    assert _user_namespace.MappedUsers().unknown == 65534
