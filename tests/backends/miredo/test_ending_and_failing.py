"""The end of a watch, and its failures."""

from __future__ import annotations

import sys

import pytest

from ...support.python import run_python

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

import contextlib
import itertools
import os
import resource
import threading
import warnings

from aioteredo import BackendError, MiredoBackend
from aioteredo.backends.miredo import (
    _subscription,
)

from ...support.miredo import (
    PARAMETER,
    UID,
    bound,
    open_fds,
    port_of,
    source_of,
    tunnel,
    watching,
)
from ...support.sinks import RecordingSink
from ...support.waiting import join, limit, start_thread


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.soak)])
def test_watches_leave_nothing_open(backend: MiredoBackend, count: int) -> None:
    """After many watches, no descriptor and no thread is left."""
    before = open_fds()
    threads = set(threading.enumerate())
    with bound():
        for initial in itertools.islice(itertools.cycle([True, False]), count):
            with watching(backend, initial=initial):
                pass
    assert open_fds() == before
    assert set(threading.enumerate()) <= threads  # others of the suite may have ended
    assert not _subscription._subscriptions


def test_nothing_is_pushed_after_cancel(backend: MiredoBackend) -> None:
    """After ``cancel()`` has returned, the sink gets no change."""
    with bound() as sock:
        with watching(backend) as (sink, _):
            pass
        sock.close()
        with watching(backend) as (other, _), bound() as second:
            assert other.take() == (port_of(second), PARAMETER)
    assert sink.empty()


def test_cancel_waits_for_a_push(backend: MiredoBackend) -> None:
    """``cancel()`` returns only after a running push has returned."""
    sink = RecordingSink()
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
    """If the process has no free descriptor, the error names the function."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as holes:
        before = open_fds()
        sink = RecordingSink()
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
    """If the system refuses a thread, all descriptors are closed."""

    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = open_fds()
    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(BackendError, match=r"^Thread\.start: .*EAGAIN"):
        backend.subscribe(RecordingSink(), initial=False)
    assert open_fds() == before


def test_later_failure_is_reported_once(backend: MiredoBackend) -> None:
    """If a dump fails, the sink fails once and gets nothing more."""
    sock = bound()
    with watching(backend) as (sink, subscription):
        source_of(subscription)._table.close()
        sock.close()
        error = sink.take()
        assert isinstance(error, BackendError)
        assert (error.symbol, error.table) == ("EBADF", "errno")
        with tunnel(), bound():
            join(subscription._thread)
    assert sink.empty()


def test_listener_that_fails_later_is_reported(backend: MiredoBackend) -> None:
    """If receiving events fails, the sink fails."""
    sock = bound()
    with watching(backend) as (sink, subscription):
        source_of(subscription)._links.socket.close()
        sock.close()
        assert sink.take().symbol == "EBADF"


def test_sink_that_raises_is_failed_with_the_cause(backend: MiredoBackend) -> None:
    """The exception of the sink is the cause of its failure."""

    class Broken(RecordingSink):
        def push(self, port: int | None, notification_type: int) -> None:
            raise ZeroDivisionError

    sink = Broken()
    sock = bound()
    subscription = backend.subscribe(sink, initial=False)
    sock.close()
    error = sink.take()
    subscription.cancel()
    assert isinstance(error, BackendError)
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_fork_does_not_disturb_the_parent(backend: MiredoBackend) -> None:
    """The child closes its copies of the descriptors; the parent's watch goes on."""
    before = open_fds()
    sock = bound()
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
    """A program that is started during a watch inherits no descriptor of the watch."""
    before = open_fds()
    with watching(backend):
        for fd in open_fds() - before:
            assert not os.get_inheritable(int(fd))


def test_interpreter_exits_with_a_watch_open(netns: None) -> None:
    """An exit during a watch neither hangs nor prints anything."""
    script = (
        "import asyncio, aioteredo\n"
        "async def main():\n"
        f"    backend = aioteredo.MiredoBackend(uid={UID})\n"
        "    watch = aioteredo.watch_teredo_port(backend=backend)\n"
        "    await watch.__aenter__()\n"
        "    raise SystemExit(7)\n"
        "asyncio.run(main())\n"
    )
    done = run_python(script)
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")
