"""The Miredo backend: on sockets that look like Miredo's, and on Miredo itself.

To the kernel, Miredo is a UDP socket and a TUN, so most of this needs no Miredo: the
tests make both in a network namespace of their own. What only Miredo can show comes
last, with the watcher in another process and without privilege.
"""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("netlink is Linux's", allow_module_level=True)

import contextlib
import errno
import fcntl
import itertools
import json
import os
import queue
import resource
import select
import selectors
import socket
import struct
import subprocess
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aioteredo import BackendError, BackendUnavailableError, MiredoBackend, NotificationType
from aioteredo._cli.commands import main
from aioteredo.backends import miredo
from aioteredo.backends.miredo import (
    _cgroup,
    _netlink,
    _subscription,
    _tunnels,
    _user_namespace,
)
from aioteredo.backends.miredo._cgroup import Cgroup
from aioteredo.backends.miredo._inet_diag import (
    SOCK_DIAG_BY_FAMILY,
    CloseListener,
    SocketTable,
    UdpSocket,
    parse_socket,
)
from aioteredo.backends.miredo._netlink import (
    NETLINK_ROUTE,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    EventsLostError,
    Listener,
)
from aioteredo.backends.miredo._tunnels import RTNLGRP_LINK

from ..support import miredo_lab
from ..support.command import run as run_command
from ..support.miredo_lab import NAT_PORT, Lab
from ..support.requirements import require
from ..support.seccomp import call, on_a_thread, refuse
from ..support.waiting import join, kill_at_the_limit, limit, start_thread

INITIAL, PARAMETER = NotificationType.INITIAL, NotificationType.PARAMETER
UID = 12345  # nobody's but ours


# what stands in for Miredo


class Recorder:
    """A sink that keeps what it gets, and can hold the notifying thread in a push."""

    def __init__(self) -> None:
        self._got: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.hold = False
        self.held, self.release = threading.Event(), threading.Event()

    def push(self, port: int | None, notification_type: int) -> None:
        self.threads.append(threading.current_thread())
        self._got.put((port, notification_type))
        if self.hold:
            self.hold = False
            self.held.set()
            assert self.release.wait(limit())

    def fail(self, error: BackendError) -> None:
        self._got.put(error)

    def take(self) -> Any:
        return self._got.get(timeout=limit())

    def empty(self) -> bool:
        return self._got.empty()


@contextlib.contextmanager
def watching(
    backend: MiredoBackend, *, initial: bool = False
) -> Iterator[tuple[Recorder, _subscription.MiredoSubscription]]:
    sink = Recorder()
    subscription = backend.subscribe(sink, initial=initial)
    try:
        yield sink, subscription
    finally:
        sink.release.set()
        subscription.cancel()


def unbound(uid: int = UID) -> socket.socket:
    """A UDP socket of *uid*. Only the owner of the file counts, not the process."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    os.fchown(sock.fileno(), uid, -1)
    return sock


def bound(port: int = 0, *, uid: int = UID, reuse: bool = False) -> socket.socket:
    """A bound one."""
    sock = unbound(uid)
    if reuse:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("", port))
    return sock


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


@contextlib.contextmanager
def tunnel(name: str = "tun0") -> Iterator[None]:
    """A TUN as Miredo makes one; who creates it is told when it is announced."""
    set_interface, no_packet_information, tun = 0x400454CA, 0x1000, 0x0001
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        request = struct.pack("16sH22x", name.encode(), tun | no_packet_information)
        fcntl.ioctl(fd, set_interface, request)
        yield
    finally:
        os.close(fd)


def open_fds() -> set[str]:
    """What is open, apart from the directory that says so."""
    fds = set(os.listdir("/proc/self/fd"))
    return {fd for fd in fds if os.path.exists(f"/proc/self/fd/{fd}")}


@pytest.fixture
def netns() -> Iterator[None]:
    """A network namespace for this thread and those that it starts."""
    clone_newnet = 0x40000000
    missing = None if os.geteuid() == 0 else "a network namespace takes root"
    if missing is None and not os.path.exists("/dev/net/tun"):
        missing = "there is no /dev/net/tun"
    require("miredo", missing)
    before = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    try:
        call("unshare", clone_newnet)
        try:
            yield
        finally:
            call("setns", before, clone_newnet)
    finally:
        os.close(before)


@pytest.fixture
def backend(netns: None) -> MiredoBackend:
    return MiredoBackend(uid=UID)


@pytest.fixture
def no_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found by looking again: there must be an event."""
    monkeypatch.setattr(_subscription, "RETRY_FOR", 0.0)


# which backend there is


def test_other_system_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another system than Linux the backend says so at once."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        with pytest.raises(BackendUnavailableError, match=r"needs Linux.*win32"):
            MiredoBackend()


def test_absent_user_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Miredo's user the error says what to do."""
    monkeypatch.setattr(miredo, "USER", "no-such-user")
    with pytest.raises(BackendUnavailableError, match=r"install miredo, or.*uid="):
        MiredoBackend()


def test_present_user_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments it is the sockets of the user that Miredo runs as."""
    monkeypatch.setattr(miredo, "USER", "nobody")
    import pwd

    assert MiredoBackend()._uid == pwd.getpwnam("nobody").pw_uid


@pytest.mark.parametrize("uid", [-1, 2**32 - 1])
def test_uid_out_of_range_is_refused(uid: int) -> None:
    """A uid that no process can have is refused by name."""
    with pytest.raises(ValueError, match=rf"^uid must be .*, not {uid}$"):
        MiredoBackend(uid=uid)


def test_uid_no_integer_is_refused() -> None:
    """A uid that is no number is refused by name."""
    uid: Any = "x"
    with pytest.raises(TypeError, match=r"^uid must be an integer, not 'x'$"):
        MiredoBackend(uid=uid)


def test_cgroup_elsewhere_is_refused(tmp_path: Path) -> None:
    """A directory that is no cgroup is refused by name."""
    with pytest.raises(ValueError, match=r"^cgroup must be a directory"):
        MiredoBackend(cgroup=tmp_path)
    with pytest.raises(ValueError, match=r"^cgroup must be a directory"):
        MiredoBackend(cgroup=str(tmp_path / "absent"))


def test_cgroup_no_path_is_refused() -> None:
    """A cgroup that is no path is refused by name."""
    cgroup: Any = 1
    with pytest.raises(TypeError, match=r"^cgroup must be a path, not 1$"):
        MiredoBackend(cgroup=cgroup)


# by the options of the command


def run_in_this_process(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[int, Any]:
    """Return the exit status of ``port``, and the backend that it asked."""
    asked = []

    def get_port(backend: MiredoBackend) -> int:
        asked.append(backend)
        return 51234

    monkeypatch.setattr(MiredoBackend, "get_port", get_port)
    status = main(["port", *arguments])
    return status, asked.pop() if asked else None


@pytest.mark.parametrize("user", ["nobody", "65534"])
def test_user_is_given_by_name_or_number(
    user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--miredo-uid takes both."""
    arguments = ["--backend", "miredo", "--miredo-uid", user]
    status, backend = run_in_this_process(arguments, monkeypatch)
    assert (status, backend._uid) == (0, 65534)


def test_options_follow_the_default_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """The options are Miredo's also where AIOTEREDO_BACKEND says so."""
    monkeypatch.setenv("AIOTEREDO_BACKEND", "miredo")
    status, backend = run_in_this_process(["--miredo-uid", "12345"], monkeypatch)
    assert (status, backend._uid) == (0, 12345)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("--miredo-uid=no-such-user", "--miredo-uid: there is no user 'no-such-user'"),
        ("--miredo-uid=4294967295", "--miredo-uid: uid must be 0 to 4294967294"),
        ("--miredo-cgroup=/", "--miredo-cgroup: cgroup must be a directory in the"),
    ],
)
def test_wrong_option_is_wrong_usage(
    option: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user or a cgroup that cannot be is named, and exits with 2."""
    assert main(["watch", "--backend=miredo", option]) == 2
    assert error in capsys.readouterr().err


def test_options_on_another_system_are_unavailable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is no Miredo, the options are no wrong usage."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        status = main(["port", "--backend=miredo", "--miredo-uid=miredo"])
    assert status == 1
    assert "needs Linux, and this is darwin" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["port"], ["watch", "--initial", "--count=1"], ["exec", "--initial"]]
)
def test_commands_follow_the_user_that_is_given(netns: None, command: list[str]) -> None:
    """Each command that follows Miredo finds the socket of another user."""
    options = ["--backend=miredo", f"--miredo-uid={UID}"]
    run_it = ["--fail-fast", "--", "sh", "-c", "echo {port}; exit 1"]
    with bound() as sock:
        arguments = [*command, *options, *(run_it if command[0] == "exec" else [])]
        output = run_command(*arguments).stdout
        assert output.split()[-1] == str(port_of(sock))


def test_command_follows_the_cgroup_that_is_given(netns: None, cgroup: Path) -> None:
    """A socket is found by its cgroup."""
    with bound() as sock:
        output = run_command("port", "--backend=miredo", f"--miredo-cgroup={cgroup}").stdout
        assert output == f"{port_of(sock)}\n"


# the parser


def message(kind: int, payload: bytes = b"", *, flags: int = 0, seq: int = 1) -> bytes:
    length = 16 + len(payload)
    header = struct.pack("=IHHII", length, kind, flags, seq, 0)
    return (header + payload).ljust(length + 3 & ~3, b"\0")


CAPTURED = bytes.fromhex(  # the first socket of a dump, Linux 6.18, port 38571
    "7c000000140002000700000051ce89a20207000096ab0000000000000000000000000000"
    "000000000000000000000000000000000000000000000000020000000000000000000000"
    "0000000000000000000000005c900000050008000000000008000f00000000000c001500"
    "01000000000000000600160050000000"
)


@contextlib.contextmanager
def answering(*datagrams: bytes) -> Iterator[SocketTable]:
    """A socket table whose kernel answers with *datagrams*."""
    with contextlib.closing(SocketTable()) as table:
        table.socket.close()
        table.socket, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with kernel:
            for datagram in datagrams:
                kernel.send(datagram)
            yield table


SOCKET = message(SOCK_DIAG_BY_FAMILY, CAPTURED[16:])
DONE = message(NLMSG_DONE, struct.pack("=i", 0))
EXPECTED = UdpSocket(bytes.fromhex("0200000000000000"), 38571, 0, 36956, 1)


def test_captured_socket_is_parsed() -> None:
    """The bytes that a kernel sent give the socket that they describe."""
    (parsed,) = _netlink.parse(CAPTURED)
    assert (parsed.type, parsed.flags) == (SOCK_DIAG_BY_FAMILY, 2)
    assert parse_socket(parsed.payload) == EXPECTED


def test_socket_without_attributes_has_no_cgroup() -> None:
    """A kernel that tells no cgroup id is understood."""
    parsed = parse_socket(CAPTURED[16 : 16 + 72])
    assert parsed == EXPECTED._replace(cgroup=None)


def test_attribute_without_length_does_not_hang() -> None:
    """An attribute of length 0 is stepped over."""
    parsed = parse_socket(CAPTURED[16 : 16 + 72] + bytes(8))
    assert parsed.cgroup is None


@pytest.mark.parametrize("length", range(1, len(CAPTURED)))
def test_truncated_bytes_are_an_error(length: int) -> None:
    """A message cut anywhere is an error, never a socket nor another exception."""
    with pytest.raises(BackendError) as caught:
        _netlink.parse(CAPTURED[:length])
    assert caught.value.symbol == "EBADMSG"


@pytest.mark.parametrize("length", [0, 15, 2**32 - 1])
def test_impossible_length_is_an_error(length: int) -> None:
    """A message that claims to be shorter than its header or longer than all is one."""
    with pytest.raises(BackendError, match="EBADMSG"):
        _netlink.parse(struct.pack("=IHHII", length, 0, 0, 0, 0))


def test_short_socket_is_an_error() -> None:
    """An inet_diag_msg that ends too early is an error."""
    with pytest.raises(BackendError, match="EBADMSG"):
        parse_socket(bytes(71))


@pytest.mark.parametrize(
    ("kind", "link_type", "announced"),
    [
        (_tunnels.RTM_NEWLINK, _tunnels.ARPHRD_NONE, True),
        (_tunnels.RTM_NEWLINK, 1, False),
        (17, _tunnels.ARPHRD_NONE, False),
    ],
)
def test_only_a_new_link_of_no_type_announces_a_tunnel(
    kind: int, link_type: int, announced: bool
) -> None:
    """Ethernet is no tunnel, and one that is deleted announces none."""
    payload = struct.pack("=BxHiII", 0, link_type, 5, 0, 0)
    (parsed,) = _netlink.parse(message(kind, payload))
    assert _tunnels.announces_tunnel(parsed) is announced


# the dump


def test_dump_of_many_datagrams_is_read_to_its_end() -> None:
    """All parts count, several messages to a datagram or one."""
    with answering(SOCKET + SOCKET, SOCKET, DONE) as table:
        assert table.unconnected() == [EXPECTED] * 3


def test_dump_of_many_sockets_is_complete(netns: None) -> None:
    """The kernel's own many-part answer has every socket once."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(bound()) for _ in range(600)]
        table = stack.enter_context(contextlib.closing(SocketTable()))
        ports = [sock.port for sock in table.unconnected()]
        assert sorted(ports) == sorted(map(port_of, socks))


def test_interrupted_dump_is_repeated() -> None:
    """A dump that the kernel calls inconsistent does not count."""
    other = message(SOCK_DIAG_BY_FAMILY, CAPTURED[16:], flags=NLM_F_DUMP_INTR)
    again = message(SOCK_DIAG_BY_FAMILY, CAPTURED[16:], seq=2)
    done = message(NLMSG_DONE, struct.pack("=i", 0), seq=2)
    with answering(other + SOCKET, DONE, again, done) as table:
        assert table.unconnected() == [EXPECTED]


def test_dump_that_is_always_interrupted_is_an_error() -> None:
    """A kernel that never gives a consistent answer does not hang the caller."""
    ends = [
        message(NLMSG_DONE, struct.pack("=i", 0), flags=NLM_F_DUMP_INTR, seq=seq)
        for seq in range(1, 9)
    ]
    with answering(*ends) as table, pytest.raises(BackendError, match="EINTR"):
        table.unconnected()


def test_rest_of_an_earlier_dump_is_skipped() -> None:
    """What an error left unread is not taken for the answer to the next request."""
    stale = message(SOCK_DIAG_BY_FAMILY, CAPTURED[16:], seq=0)
    with answering(stale + message(NLMSG_DONE, bytes(4), seq=0), DONE) as table:
        assert table.unconnected() == []


def test_message_of_another_kind_in_a_dump_is_skipped() -> None:
    """A message type that means nothing here is no socket."""
    with answering(message(1) + SOCKET, DONE) as table:
        assert table.unconnected() == [EXPECTED]


def test_error_in_answer_is_raised() -> None:
    """An NLMSG_ERROR is an error with the kernel's number."""
    error = message(NLMSG_ERROR, struct.pack("=i", -errno.EINVAL))
    with answering(error) as table, pytest.raises(BackendError) as caught:
        table.unconnected()
    assert (caught.value.function, caught.value.symbol, caught.value.table) == (
        "SOCK_DIAG_BY_FAMILY",
        "EINVAL",
        "errno",
    )


def test_error_at_the_end_of_a_dump_is_raised() -> None:
    """A dump that breaks off is no shorter dump."""
    end = message(NLMSG_DONE, struct.pack("=i", -errno.ENOMEM))
    with answering(SOCKET, end) as table, pytest.raises(BackendError, match="ENOMEM"):
        table.unconnected()


def test_kernel_without_inet_diag_is_unavailable() -> None:
    """A kernel that knows no inet_diag for UDP makes the backend unavailable."""
    error = message(NLMSG_ERROR, struct.pack("=i", -errno.ENOENT))
    with (
        answering(error) as table,
        pytest.raises(BackendUnavailableError, match="CONFIG_INET_UDP_DIAG"),
    ):
        table.unconnected()


def test_datagram_longer_than_the_buffer_is_an_error() -> None:
    """An answer that was cut is not read as if it were whole."""
    with (
        answering(bytes(1 << 16)) as table,
        pytest.raises(BackendError, match="EMSGSIZE"),
    ):
        table.unconnected()


# netlink refused


@pytest.mark.parametrize(
    "code", [errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT]
)
def test_refused_netlink_is_unavailable(code: int) -> None:
    """A process that may not use netlink is told which setting allows it."""

    def work() -> None:
        refuse("socket", code, _netlink.AF_NETLINK)
        before = open_fds()
        with pytest.raises(BackendUnavailableError, match="RestrictAddressFamilies"):
            MiredoBackend(uid=UID).subscribe(Recorder(), initial=True)
        with pytest.raises(BackendUnavailableError, match=errno.errorcode[code]):
            MiredoBackend(uid=UID).get_port()
        assert open_fds() == before

    on_a_thread(work)


def test_netlink_that_fails_otherwise_is_an_error() -> None:
    """A failure that says nothing of what is allowed stays what it is."""

    def work() -> None:
        refuse("socket", errno.ENOMEM, _netlink.AF_NETLINK)
        with pytest.raises(BackendError, match=r"^socket\(AF_NETLINK\): .*ENOMEM"):
            MiredoBackend(uid=UID).get_port()

    on_a_thread(work)


def test_netlink_that_cannot_be_bound_leaves_no_socket() -> None:
    """If the socket is given but not the groups, it is closed."""

    def work() -> None:
        refuse("bind", errno.EPERM)
        before = open_fds()
        with pytest.raises(BackendUnavailableError, match=r"^bind\(AF_NETLINK\): "):
            MiredoBackend(uid=UID).subscribe(Recorder(), initial=True)
        assert open_fds() == before

    on_a_thread(work)


# which socket it is


def test_no_socket_is_no_port(backend: MiredoBackend) -> None:
    """While nothing is bound there is no port."""
    assert backend.get_port() is None


def test_unconnected_socket_of_the_user_is_the_port(backend: MiredoBackend) -> None:
    """The user's socket is found among those of others."""
    with bound(uid=UID + 1), bound() as sock, bound(uid=0):
        assert backend.get_port() == port_of(sock)


def test_connected_socket_is_not_the_port(backend: MiredoBackend) -> None:
    """Miredo's own name service lookups are not its port."""
    with tunnel(), bound() as sock:
        miredo_lab.run("ip", "link", "set", "lo", "up")
        sock.connect(("127.0.0.1", 53))
        assert backend.get_port() is None


def test_ipv6_socket_is_not_the_port(backend: MiredoBackend) -> None:
    """Teredo goes over IPv4: a socket of the same user on IPv6 is another thing."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        os.fchown(sock.fileno(), UID, -1)
        sock.bind(("::", 0))
        assert backend.get_port() is None


def test_newest_of_several_sockets_is_the_port(backend: MiredoBackend) -> None:
    """Of two sockets the one made later is Miredo's."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})  # inode numbers grow on one CPU only
    try:
        with bound(), bound() as newest:
            assert backend.get_port() == port_of(newest)
    finally:
        os.sched_setaffinity(0, cpus)


def test_known_socket_is_kept_until_it_is_closed(backend: MiredoBackend) -> None:
    """A second socket does not take the place of the one that is followed."""
    with bound() as known, watching(backend, initial=True) as (sink, _):
        assert sink.take() == (port_of(known), INITIAL)
        with bound() as second, tunnel(), tunnel("tun1"):
            known.close()
            assert sink.take() == (port_of(second), PARAMETER)
        assert sink.take() == (None, PARAMETER)


def test_socket_that_one_dump_stepped_over_is_still_there(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that is missing from one dump only is not reported as gone."""
    with bound(), contextlib.closing(SocketTable()) as table:
        known = backend._find(table, None)
        dumps = iter([[], table.unconnected()])
        monkeypatch.setattr(table, "unconnected", lambda: next(dumps))
        assert known is not None
        assert backend._find(table, known) == known


# in a user namespace


IN_USER_NAMESPACE = """
import ctypes, queue, sys
from aioteredo import BackendUnavailableError, MiredoBackend

class Sink(queue.SimpleQueue):
    def push(self, port, notification_type):
        self.put(port)
    fail = queue.SimpleQueue.put

backend = MiredoBackend(uid=int(sys.argv[1]))
clone_newuser = 0x10000000
assert ctypes.CDLL(None).unshare(clone_newuser) == 0
print("unshared", flush=True)
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
    """Run the backend where *uid_map* says which users there are; yield its lines."""
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
            assert process.stdout.readline() == "unshared\n"
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
    """Where Miredo's user is not mapped, the backend says so even if Miredo is stopped."""
    answer = port_in_user_namespace("0 0 1\n")
    assert f"user {UID} is not mapped in this user namespace: run aioteredo" in answer


def test_user_that_is_another_one_inside_is_unavailable(netns: None) -> None:
    """Where the number stands for another user, a socket may be Miredo's all the same."""
    with bound():
        answer = port_in_user_namespace(SHIFTED)
    assert f"no UDP socket of user {UID} is visible, and one of a user" in answer
    assert "--miredo-cgroup or MiredoBackend(cgroup=...)" in answer


def test_number_of_all_unmapped_users_is_unavailable(netns: None) -> None:
    """No socket is taken for Miredo's because it is reported as nobody's."""
    with bound():
        answer = port_in_user_namespace(SHIFTED, 65534)
    assert "user 65534 is not mapped" in answer


def test_user_that_is_mapped_is_found_in_a_user_namespace(netns: None) -> None:
    """A mapped user's socket is found beside one of a user that is not mapped."""
    with bound() as sock, bound(uid=UID + 1):
        assert port_in_user_namespace(f"{UID} {UID} 1\n") == str(port_of(sock))


def test_socket_of_another_mapped_user_is_no_port(netns: None) -> None:
    """A socket whose user is known, and is another one, leaves no doubt."""
    with bound(uid=UID + 1):
        assert port_in_user_namespace(f"{UID} {UID} 2\n") == "None"


def test_map_of_all_users_hides_none(netns: None) -> None:
    """In a user namespace with every user, nobody is just another user."""
    with bound(uid=65534):
        assert port_in_user_namespace("0 0 4294967295\n") == "None"


def test_socket_of_an_unmapped_user_ends_a_watch(netns: None) -> None:
    """A socket that may be Miredo's, and comes later, is no silent 'no port'."""
    with in_user_namespace(SHIFTED, UID, "watch") as lines:
        assert next(lines) == "None"
        with tunnel(), bound():
            assert next(lines).startswith(f"EACCES no UDP socket of user {UID} is visible")


def test_kernel_without_user_namespaces_hides_no_user(
    backend: MiredoBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a map every user is what the number says."""
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
    """A map that is written after the backend was made counts."""
    path = tmp_path / "uid_map"
    path.write_text(uid_map)
    monkeypatch.setattr(_user_namespace, "UID_MAP", str(path))
    with bound(uid=65534), pytest.raises(BackendUnavailableError, match=reason):
        backend.get_port()


def test_overflow_uid_that_cannot_be_read_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /proc shows processes only, the kernel's own default counts."""
    uid_map = tmp_path / "uid_map"
    uid_map.write_text("0 1000 1\n")
    monkeypatch.setattr(_user_namespace, "UID_MAP", str(uid_map))
    monkeypatch.setattr(_user_namespace, "OVERFLOW_UID", str(tmp_path / "absent"))
    assert _user_namespace.MappedUsers().unknown == 65534


# by cgroup


@pytest.fixture
def cgroup() -> Path:
    """Where this process is in the cgroup v2 file system."""
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


def test_socket_of_the_cgroup_is_the_port(netns: None, cgroup: Path) -> None:
    """With a cgroup alone, it is its sockets, whichever user's."""
    with bound() as sock:
        assert MiredoBackend(cgroup=cgroup).get_port() == port_of(sock)
        assert MiredoBackend(UID, str(cgroup)).get_port() == port_of(sock)
        assert MiredoBackend(UID + 1, cgroup).get_port() is None


def test_socket_of_another_cgroup_is_not_the_port(netns: None, cgroup: Path) -> None:
    """A unit's socket is not that of others, nor is there one once the unit is gone."""
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
    """A cgroup that is not merely absent is reported, not taken for 'no port'."""
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
        self.outside, self.inside = base / "miredo.service", base / "container"
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
        command = [sys.executable, "-c", IN_CGROUP_NAMESPACE]
        return subprocess.run(
            [*command, str(self.inside), str(self._root), unit],
            capture_output=True,
            text=True,
            timeout=limit(),
            check=True,
        ).stdout.strip()


@pytest.fixture
def cgroups(netns: None, cgroup: Path, tmp_path: Path) -> Iterator[Cgroups]:
    with contextlib.ExitStack() as stack:
        yield Cgroups(cgroup, stack, tmp_path)


def test_cgroup_that_a_container_cannot_see_is_unavailable(cgroups: Cgroups) -> None:
    """An absent directory is not taken for a stopped unit if the unit may run outside."""
    cgroups.bind(cgroups.outside)
    answer = cgroups.ask("miredo.service")
    assert "miredo.service is absent, and" in answer
    assert "run aioteredo outside of the container" in answer


def test_cgroup_absent_in_a_container_with_no_other_socket_is_no_port(
    cgroups: Cgroups,
) -> None:
    """A container that sees the cgroups of all sockets knows that its unit is stopped."""
    cgroups.bind(cgroups.inside)
    assert cgroups.ask("miredo.service") == "None"


def test_cgroup_in_a_container_is_found(cgroups: Cgroups) -> None:
    """A unit of the container is found there, beside sockets of the outside."""
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
    """An absent unit is in doubt only if a socket's cgroup is not in the part."""
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
    """A kernel that reports no cgroup leaves nothing to choose by."""
    with pytest.raises(BackendUnavailableError, match=r"Linux 5\.8.*--miredo-uid"):
        Cgroup(cgroup).select([EXPECTED._replace(cgroup=None)])


# a watch


def test_initial_is_pushed_before_subscribe_returns(backend: MiredoBackend) -> None:
    """The current port is the first event, on the thread that subscribes."""
    with bound() as sock, watching(backend, initial=True) as (sink, _):
        assert sink.take() == (port_of(sock), INITIAL)
        assert sink.threads == [threading.current_thread()]
        assert sink.empty()


def test_without_initial_nothing_is_pushed(backend: MiredoBackend) -> None:
    """A port that was there before is no change."""
    with bound(), watching(backend) as (sink, _):
        pass
    assert sink.empty()


def closing_before_the_filter(monkeypatch: pytest.MonkeyPatch, sock: socket.socket) -> None:
    """Have *sock* end after it was found, and before its end is listened for."""
    follow = CloseListener.follow

    def close_first(listener: CloseListener, found: UdpSocket | None) -> None:
        if found is not None:
            with contextlib.closing(CloseListener()) as witness:
                sock.close()
                select.select([witness], [], [], limit())
        follow(listener, found)

    monkeypatch.setattr(CloseListener, "follow", close_first)


def test_socket_that_goes_before_it_is_followed_is_noticed(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close between finding a new socket and the filter for it is not missed."""
    with watching(backend) as (sink, _):
        sock = bound()
        port = port_of(sock)
        assert sink.take() == (port, PARAMETER)
        sock.close()
        assert sink.take() == (None, PARAMETER)
        sock = unbound()
        closing_before_the_filter(monkeypatch, sock)
        sock.bind(("", port))
        with tunnel():
            assert [sink.take(), sink.take()] == [(port, PARAMETER), (None, PARAMETER)]


def test_socket_that_goes_while_subscribing_is_noticed(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close between the first look and the filter for it is not missed."""
    sock = bound()
    port = port_of(sock)
    closing_before_the_filter(monkeypatch, sock)
    with watching(backend, initial=True) as (sink, _):
        assert [sink.take(), sink.take()] == [(port, INITIAL), (None, PARAMETER)]


class Looks:
    """Waits until a watch has looked once more after something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._expected, self._looked = threading.Event(), threading.Event()
        unconnected = SocketTable.unconnected

        def recorded(table: SocketTable) -> list[UdpSocket]:
            expected = self._expected.is_set()
            sockets = unconnected(table)
            if expected:
                self._looked.set()
            return sockets

        monkeypatch.setattr(SocketTable, "unconnected", recorded)

    def expect(self) -> None:
        self._expected.set()

    def wait(self) -> None:
        assert self._looked.wait(limit())


def test_tunnel_then_bind_is_noticed(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a tunnel was announced the bind is found, though nothing announces it."""
    monkeypatch.setattr(_subscription, "RETRY_FOR", limit())
    looks, sink = Looks(monkeypatch), Recorder()
    with monkeypatch.context() as patch:
        patch.setattr(_subscription, "RETRY_FOR", 0.0)
        subscription = backend.subscribe(sink, initial=False)
    try:
        looks.expect()
        with tunnel():
            looks.wait()
            with bound() as sock:
                assert sink.take() == (port_of(sock), PARAMETER)
            assert sink.take() == (None, PARAMETER)
    finally:
        subscription.cancel()


def test_bind_right_after_subscribing_is_noticed(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tunnel may have been announced before the watch was there: it looks again."""
    monkeypatch.setattr(_subscription, "RETRY_FOR", limit())
    with watching(backend) as (sink, _), bound() as sock:
        assert sink.take() == (port_of(sock), PARAMETER)


def test_late_bind_is_noticed_with_the_address(
    backend: MiredoBackend, no_retry: None
) -> None:
    """A bind that no looking again found is found when the tunnel gets its address."""
    with watching(backend) as (sink, _), tunnel(), bound() as sock:
        miredo_lab.run("ip", "link", "set", "tun0", "up")
        miredo_lab.run("ip", "addr", "add", "2001::1/32", "dev", "tun0")
        assert sink.take() == (port_of(sock), PARAMETER)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute between two looks is short."""
    monkeypatch.setattr(_subscription, "RETRY_LATER", 0.001)


def test_late_bind_is_noticed_without_an_event(
    backend: MiredoBackend, no_retry: None, soon: None
) -> None:
    """A bind long after the tunnel was announced is found, though nothing announces it."""
    with watching(backend) as (sink, _), tunnel(), bound() as sock:
        assert sink.take() == (port_of(sock), PARAMETER)


def test_late_bind_in_a_tunnel_that_was_there_is_noticed(
    backend: MiredoBackend, no_retry: None, soon: None
) -> None:
    """A bind is found, though the tunnel was announced long before the watch began."""
    with tunnel(), watching(backend) as (sink, _), bound() as sock:
        assert sink.take() == (port_of(sock), PARAMETER)


def test_port_that_goes_and_comes_while_the_tunnel_stays_is_noticed(
    backend: MiredoBackend, no_retry: None, soon: None
) -> None:
    """A client that binds another socket without another tunnel is followed."""
    sock = bound()
    with tunnel(), watching(backend) as (sink, _):
        sock.close()
        assert sink.take() == (None, PARAMETER)
        with bound() as second:
            assert sink.take() == (port_of(second), PARAMETER)


@pytest.mark.parametrize(
    ("with_tunnel", "with_port", "expected"),
    [(False, False, None), (False, True, None), (True, False, 60.0), (True, True, None)],
)
def test_only_a_tunnel_without_a_port_is_looked_at_each_minute(
    backend: MiredoBackend,
    no_retry: None,
    monkeypatch: pytest.MonkeyPatch,
    with_tunnel: bool,
    with_port: bool,
    expected: float | None,
) -> None:
    """In the other states the watch sleeps until there is an event."""
    timeouts = queue.SimpleQueue[float | None]()
    select = selectors.DefaultSelector.select

    def recorded(selector: Any, timeout: float | None = None) -> Any:
        timeouts.put(timeout)
        return select(selector, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", recorded)
    with (
        tunnel() if with_tunnel else contextlib.nullcontext(),
        bound() if with_port else contextlib.nullcontext(),
        watching(backend),
    ):
        assert timeouts.get(timeout=limit()) == expected


def test_close_is_noticed_without_a_tunnel(backend: MiredoBackend, no_retry: None) -> None:
    """The end of the socket alone is enough."""
    sock = bound()
    with watching(backend) as (sink, _):
        sock.close()
        assert sink.take() == (None, PARAMETER)


def test_tunnel_gone_before_the_socket_is_no_change(
    backend: MiredoBackend, no_retry: None
) -> None:
    """What counts is the socket, in whichever order it and the interface go."""
    sock = bound()
    with watching(backend) as (sink, _):
        with tunnel():
            pass
        sock.close()
        assert sink.take() == (None, PARAMETER)
    assert sink.empty()


def test_same_port_of_another_socket_is_a_change(
    backend: MiredoBackend, no_retry: None
) -> None:
    """A restart on a fixed port is reported, because the socket is another."""
    with bound(reuse=True) as first:
        port = port_of(first)
        with watching(backend, initial=True) as (sink, _), bound(port, reuse=True):
            first.close()
            assert [sink.take(), sink.take()] == [(port, INITIAL), (port, PARAMETER)]


def count_dumps(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """A list that grows with each dump."""
    dumps: list[None] = []
    unconnected = SocketTable.unconnected

    def counted(table: SocketTable) -> list[UdpSocket]:
        dumps.append(None)
        return unconnected(table)

    monkeypatch.setattr(SocketTable, "unconnected", counted)
    return dumps


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_other_sockets_closing_has_no_effect(
    backend: MiredoBackend,
    no_retry: None,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    """However many others end, also on the same port, nothing looks or is lost."""
    sock = bound(reuse=True)
    port = port_of(sock)
    with watching(backend) as (sink, _):
        dumps = count_dumps(monkeypatch)
        for _ in range(count // 2):
            bound(uid=0).close()
            bound(port, reuse=True).close()
        assert dumps == []
        sock.close()
        assert sink.take() == (None, PARAMETER)
    assert sink.empty()


# events lost


def test_listener_whose_buffer_is_full_says_so(netns: None) -> None:
    """Lost messages are reported once, and what is left is readable."""
    count = 50
    with (
        contextlib.closing(CloseListener()) as listener,
        contextlib.closing(CloseListener()) as witness,
    ):
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for _ in range(count):
            bound().close()
        # A worker of the kernel sends the events, at a time of its choice.
        received = 0
        while received < count:
            assert select.select([witness], [], [], limit())[0]
            received += len(witness.receive())
        with pytest.raises(EventsLostError):
            listener.receive()
        while listener.receive():
            pass


def test_lost_events_are_made_up_for_by_looking(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When events were lost, one may have been the tunnel's: it looks for the bind."""
    monkeypatch.setattr(_subscription, "RETRY_FOR", limit())
    looks = Looks(monkeypatch)
    receive = Listener.receive

    def recorded(listener: Listener) -> list[_netlink.Message]:
        try:
            return receive(listener)
        except EventsLostError:
            looks.expect()
            raise

    monkeypatch.setattr(Listener, "receive", recorded)
    sock, sink = bound(), Recorder()
    with monkeypatch.context() as patch:
        patch.setattr(_subscription, "RETRY_FOR", 0.0)
        subscription = backend.subscribe(sink, initial=False)
    try:
        links = subscription._links.socket
        links.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sink.hold = True
        sock.close()
        assert sink.held.wait(limit())
        no_tunnel = "link add one type veth peer name two\nlink del one\n" * 20
        miredo_lab.run("ip", "-batch", "-", text=no_tunnel)
        sink.release.set()
        assert sink.take() == (None, PARAMETER)
        looks.wait()
        with bound() as second:
            assert sink.take() == (port_of(second), PARAMETER)
    finally:
        sink.release.set()
        subscription.cancel()


def test_unreadable_event_counts_as_lost(netns: None) -> None:
    """An event that is cut or is no message is reason enough to look."""
    with contextlib.closing(Listener(NETLINK_ROUTE, RTNLGRP_LINK)) as listener:
        listener.socket.close()
        listener.socket, kernel = socket.socketpair(type=socket.SOCK_DGRAM)
        with kernel:
            listener.socket.setblocking(False)
            kernel.send(b"garbage")
            with pytest.raises(EventsLostError):
                listener.receive()
            kernel.send(bytes(1 << 16))
            with pytest.raises(EventsLostError):
                listener.receive()
            assert listener.receive() == []


def test_flood_of_events_does_not_keep_it_from_looking(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a number of events it looks, even if there are more."""
    monkeypatch.setattr(_subscription, "BATCH", 1)
    sock = bound()
    with watching(backend) as (sink, _):
        for number in range(5):
            with tunnel(f"tun{number}"):
                pass
        sock.close()
        assert sink.take() == (None, PARAMETER)


# the end of a watch, and failures


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.soak)])
def test_watches_leave_nothing_open(backend: MiredoBackend, count: int) -> None:
    """After any number of watches there are as many descriptors, and no more threads."""
    before, threads = open_fds(), set(threading.enumerate())
    with bound():
        for initial in itertools.islice(itertools.cycle([True, False]), count):
            with watching(backend, initial=initial):
                pass
    assert open_fds() == before
    assert set(threading.enumerate()) <= threads  # others of the suite may have ended
    assert not _subscription._subscriptions


def test_nothing_is_pushed_after_cancel(backend: MiredoBackend) -> None:
    """When cancel returns, changes reach nobody."""
    with bound() as sock:
        with watching(backend) as (sink, _):
            pass
        sock.close()
        with watching(backend) as (other, _), bound() as second:
            assert other.take() == (port_of(second), PARAMETER)
    assert sink.empty()


def test_cancel_waits_for_a_push(backend: MiredoBackend) -> None:
    """A push that is running has returned when cancel returns."""
    sink = Recorder()
    sock = bound()
    subscription = backend.subscribe(sink, initial=False)
    sink.hold = True
    sock.close()
    assert sink.held.wait(limit())
    cancelling = start_thread(subscription.cancel)
    cancelling.join(0.05)  # that it does not return shows by waiting in vain only
    assert cancelling.is_alive()
    sink.release.set()
    join(cancelling)


@pytest.mark.parametrize(
    ("free", "function"),
    [
        (0, "open(/proc/self/uid_map)"),
        (1, "socket(AF_NETLINK)"),
        (2, "socket(AF_NETLINK)"),
        (3, "socket(AF_NETLINK)"),
        (4, "socketpair"),
        (5, "socketpair"),
        (6, "epoll_create1"),
    ],
)
def test_failure_on_start_leaves_nothing_open(
    backend: MiredoBackend, free: int, function: str
) -> None:
    """A process out of descriptors gets the error, and has as many as before."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as holes:
        before, sink = open_fds(), Recorder()
        highest = max(map(int, before))
        while (fd := os.open("/dev/null", os.O_RDONLY)) < highest:
            holes.callback(os.close, fd)
        os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (fd + free, limits[1]))
        try:
            with pytest.raises(BackendError) as caught:
                backend.subscribe(sink, initial=True)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (caught.value.function, caught.value.symbol) == (function, "EMFILE")
    assert open_fds() == before
    assert sink.empty()
    assert not _subscription._subscriptions


def test_thread_that_cannot_start_leaves_nothing_open(
    backend: MiredoBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a thread there is no watch, and no descriptor of one."""

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = open_fds()
    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(BackendError, match=r"^Thread\.start: .*EAGAIN"):
        backend.subscribe(Recorder(), initial=False)
    assert open_fds() == before


def test_later_failure_is_reported_once(backend: MiredoBackend) -> None:
    """When looking fails the sink is told so, and nothing follows."""
    sock = bound()
    with watching(backend) as (sink, subscription):
        subscription._table.close()
        sock.close()
        error = sink.take()
        assert isinstance(error, BackendError)
        assert (error.symbol, error.table) == ("EBADF", "errno")
        with tunnel(), bound():
            join(subscription._thread)
    assert sink.empty()


def test_listener_that_fails_later_is_reported(backend: MiredoBackend) -> None:
    """When listening fails the sink is told so."""
    sock = bound()
    with watching(backend) as (sink, subscription):
        subscription._links.socket.close()
        sock.close()
        assert sink.take().symbol == "EBADF"


def test_sink_that_raises_is_failed_with_the_cause(backend: MiredoBackend) -> None:
    """An exception of the sink does not end the thread unheard."""

    class Broken(Recorder):
        def push(self, port: int | None, notification_type: int) -> None:
            raise ZeroDivisionError

    sink, sock = Broken(), bound()
    subscription = backend.subscribe(sink, initial=False)
    sock.close()
    error = sink.take()
    subscription.cancel()
    assert isinstance(error, BackendError)
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_fork_does_not_disturb_the_parent(backend: MiredoBackend) -> None:
    """A child closes its copies of the descriptors; the parent goes on."""
    before, sock = open_fds(), bound()
    with watching(backend) as (sink, _):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads
            pid = os.fork()
        if pid == 0:  # pragma: no cover - the child's
            left = open_fds() - before - {str(sock.fileno())}
            os._exit(bool(left) or bool(_subscription._subscriptions))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        sock.close()
        assert sink.take() == (None, PARAMETER)
        with tunnel(), bound() as second:
            assert sink.take() == (port_of(second), PARAMETER)


def test_descriptors_are_not_inherited(backend: MiredoBackend) -> None:
    """A program that is started while a watch is open gets none of its descriptors."""
    before = open_fds()
    with watching(backend):
        for fd in open_fds() - before:
            assert not os.get_inheritable(int(fd))


def test_interpreter_exits_with_a_watch_open(netns: None) -> None:
    """An exit in the middle of a watch neither hangs nor says a word."""
    script = (
        "import asyncio, aioteredo\n"
        "async def main():\n"
        f"    backend = aioteredo.MiredoBackend(uid={UID})\n"
        "    watch = aioteredo.watch_teredo_port(backend=backend)\n"
        "    await watch.__aenter__()\n"
        "    raise SystemExit(7)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=limit(),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


# Miredo itself


@pytest.fixture(scope="module")
def direct_lab() -> Iterator[Lab]:
    require("miredo", miredo_lab.missing())
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab(direct_lab: Lab) -> Iterator[Lab]:
    """The lab, without a client and without a watcher."""
    with direct_lab.fresh():
        yield direct_lab


def take_until(watcher: miredo_lab.Watcher, port: int) -> list[int | None]:
    """The ports up to *port*."""
    ports = [watcher.take_port()]
    while ports[-1] != port:
        ports.append(watcher.take_port())
    return ports


def test_watcher_has_no_privilege(lab: Lab) -> None:
    """What the lab shows is seen by nobody, without capabilities."""
    watcher = lab.watch()
    assert watcher.privileges == {
        "uid": ["65534"] * 4,
        "groups": [],
        "CapEff": "0" * 16,
        "CapPrm": "0" * 16,
    }


def test_miredo_is_asked_for_its_port(lab: Lab) -> None:
    """get_teredo_port says the port of a running Miredo, and None of a stopped one."""
    assert lab.get_port() is None
    client = lab.start()
    port = lab.wait_for_port()
    assert lab.get_port() == port
    client.stop()
    assert lab.get_port() is None


def test_miredo_started_before_the_watch_is_the_initial_port(lab: Lab) -> None:
    """A watch begins with the port as it is."""
    lab.start()
    port = lab.wait_for_port()
    event = lab.watch().first
    assert (event["port"], event["type"], event["missed"]) == (port, INITIAL, 0)


@pytest.mark.parametrize("restarts", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_miredo_restarted_gives_each_port_and_no_other(lab: Lab, restarts: int) -> None:
    """Start and stop are reported with the real ports, each once, none invented."""
    watcher = lab.watch()
    assert watcher.first["port"] is None
    events: list[int | None] = []
    truth: list[int | None] = []
    for _ in range(restarts):
        client = lab.start()
        events.append(watcher.take_port())
        truth.append(lab.wait_for_port())
        client.stop()
        events.append(watcher.take_port())
        lab.wait_for_no_port()
        truth.append(None)
    assert events == truth
    assert watcher.rest() == []


def test_miredo_reloaded_gives_its_new_port(lab: Lab) -> None:
    """SIGHUP replaces worker and port; the new one is reported."""
    watcher, client = lab.watch(), lab.start()
    port = lab.wait_for_port()
    assert take_until(watcher, port) == [port]
    for _ in range(3):
        client.reload()
        old, port = port, lab.wait_for_port(port)
        assert take_until(watcher, port) in ([None, port], [port])
        assert port != old
    client.stop()
    assert watcher.take_port() is None
    assert watcher.rest() == []


def test_miredo_whose_worker_crashes_gives_its_new_port(lab: Lab) -> None:
    """The worker's death is reported, and so is its successor's port."""
    watcher, client = lab.watch(), lab.start()
    old = lab.wait_for_port()
    assert take_until(watcher, old) == [old]
    client.crash()
    assert watcher.take_port() is None
    port = lab.wait_for_port(old)
    assert watcher.take_port() == port
    assert watcher.rest() == []


def test_command_line_prints_the_port_across_a_restart(lab: Lab) -> None:
    """``aioteredo watch --backend miredo --json`` prints each port of the client."""
    command = lab.command_line(
        *("watch", "--backend", "miredo", "--initial", "--count", "4", "--json")
    )
    assert command.stdout is not None
    with command.stdout as lines:
        assert json.loads(lines.readline())["port"] is None
        client = lab.start()
        first = lab.wait_for_port()
        assert json.loads(lines.readline())["port"] == first
        client.stop()
        assert json.loads(lines.readline())["port"] is None
        lab.start()
        assert json.loads(lines.readline())["port"] == lab.wait_for_port(first)
    assert command.wait(limit()) == 0


def test_miredo_elsewhere_is_not_seen(lab: Lab) -> None:
    """A watcher in another network namespace sees nothing of it."""
    elsewhere, watcher = lab.watch("server"), lab.watch()
    lab.start()
    port = lab.wait_for_port()
    assert take_until(watcher, port) == [port]
    lab.wait_for_address()
    assert elsewhere.first["port"] is None
    assert elsewhere.rest() == []


def test_miredo_behind_nat_gives_the_local_port() -> None:
    """The port is the one to open here, not the one that the NAT makes of it."""
    require("miredo", miredo_lab.missing())
    with Lab(nat=True) as lab:
        watcher = lab.watch()
        lab.start()
        port = lab.wait_for_port()
        assert take_until(watcher, port) == [port]
        outside = int(lab.wait_for_address()) >> 32 & 0xFFFF ^ 0xFFFF
        assert outside == NAT_PORT != port
        assert lab.get_port() == port
