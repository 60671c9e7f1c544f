"""A registration is cancelled once, even if the program is interrupted."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest
import trio
from anyio.lowlevel import checkpoint

from aioteredo import (
    Backend,
    BackendError,
    PortEvent,
    PortEventStream,
    SimulatedBackend,
    _reaper,
    _registration,
    get_teredo_port,
    watch_teredo_port,
)
from aioteredo._backend import Sink

from .waiting import limit, wait_until

every_loop = pytest.mark.every_loop


@pytest.fixture
def client() -> Iterator[SimulatedBackend]:
    with SimulatedBackend(1000) as client:
        yield client


class CountingBackend:
    """A backend that counts, and calls a function before it subscribes or cancels."""

    def __init__(
        self,
        on_subscribe: Callable[[], object] = lambda: None,
        on_cancel: Callable[[], object] = lambda: None,
    ) -> None:
        self.subscribed = 0
        self.cancelled = 0
        self._on_subscribe = on_subscribe
        self._on_cancel = on_cancel

    def get_port(self) -> int | None:
        return 1000

    def subscribe(self, sink: Sink, *, initial: bool) -> CountingBackend:
        self._on_subscribe()
        self.subscribed += 1
        return self

    def cancel(self) -> None:
        self._on_cancel()
        self.cancelled += 1


# interrupted


def run_on_asyncio(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *main* on a loop without a SIGINT handler of its own, unlike ``asyncio.run``."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


@pytest.fixture
def interrupt() -> Iterator[Callable[[str], None]]:
    """Have Ctrl-C strike as the named function of the package is entered."""

    def interrupt(name: str) -> None:
        def profile(frame: FrameType, event: str, _: object) -> None:
            code = frame.f_code
            if (
                event == "call"
                and code.co_qualname == name
                and "aioteredo" in code.co_filename
            ):
                sys.setprofile(None)
                struck.append(name)
                signal.raise_signal(signal.SIGINT)

        sys.setprofile(profile)

    struck: list[str] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield interrupt
    sys.setprofile(None)
    signal.signal(signal.SIGINT, before)
    assert struck, "the function was not called"


@pytest.mark.parametrize("run", [run_on_asyncio, trio.run], ids=["asyncio", "trio"])
@pytest.mark.parametrize("leave", ["aclose", "the block"])
@pytest.mark.parametrize(
    "place",
    [
        "PortEventStream._leave",
        "Mailbox.close",
        "ParkingSpot.__init__.<locals>.wake",
        "Registration.leave",
        "Registration.aclose",
        "run_sync",
        "start_thread",
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_ctrl_c_while_closing_leaves_nothing_registered(
    client: SimulatedBackend,
    interrupt: Callable[[str], None],
    run: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
    leave: str,
    place: str,
) -> None:
    """KeyboardInterrupt between any two steps of closing: the reaper cancels."""

    async def main() -> None:
        watch = watch_teredo_port(backend=client)
        events = await watch.__aenter__()
        interrupt(place)
        await (events.aclose() if leave == "aclose" else watch.__aexit__(None, None, None))

    with pytest.raises(KeyboardInterrupt):
        run(main)
    gc.collect()
    wait_until(lambda: client.subscriber_count == 0, "the registration was cancelled")


def test_ctrl_c_in_the_finalizers_way_still_warns(
    client: SimulatedBackend, interrupt: Callable[[str], None]
) -> None:
    """A stream that was interrupted before it began to close is an unclosed stream."""

    async def main() -> None:
        watch = watch_teredo_port(backend=client)
        await watch.__aenter__()
        interrupt("_Watch.__aexit__")
        await watch.__aexit__(None, None, None)

    with pytest.warns(ResourceWarning, match="unclosed"):
        with pytest.raises(KeyboardInterrupt):
            run_on_asyncio(main)
        gc.collect()
    wait_until(lambda: client.subscriber_count == 0, "the registration was cancelled")


def test_ctrl_c_at_exit_cancels_every_registration() -> None:
    """An interrupted cancel is tried again after the others, then Ctrl-C is raised."""
    strikes = iter([KeyboardInterrupt, None, None, KeyboardInterrupt])

    def strike() -> None:
        strike = next(strikes, None)
        if strike is not None:
            raise strike

    backend = CountingBackend(on_cancel=strike)
    loop = asyncio.new_event_loop()
    watches = [watch_teredo_port(backend=backend) for _ in range(5)]
    for watch in watches:
        loop.run_until_complete(watch.__aenter__())
    with pytest.raises(KeyboardInterrupt):
        _registration._cancel_all()
    assert (backend.subscribed, backend.cancelled) == (5, 5)
    loop.close()


@every_loop
async def test_backend_that_cannot_cancel_at_exit_keeps_no_other_from_it(
    client: SimulatedBackend,
) -> None:
    """One registration whose cancel raises doesn't keep the others from theirs."""

    def fail() -> None:
        raise ZeroDivisionError

    broken = watch_teredo_port(backend=CountingBackend(on_cancel=fail))
    sound = watch_teredo_port(backend=client)
    await broken.__aenter__()
    await sound.__aenter__()
    _registration._cancel_all()
    assert not _registration._live
    assert client.subscriber_count == 0


# destroyed


@every_loop
async def test_task_that_closes_a_half_open_watch_can_go_on(
    client: SimulatedBackend,
) -> None:
    """Entering by hand and closing the coroutine leaves cancel scopes intact."""
    with anyio.CancelScope() as scope:
        entering = watch_teredo_port(backend=client).__aenter__()
        entering.send(None)
        entering.close()
        scope.cancel()
        await checkpoint()
        pytest.fail("the task is still shielded")
    assert scope.cancelled_caught
    wait_until(lambda: not _registration._live, "the half-open watch was cancelled")
    wait_until(lambda: client.subscriber_count == 0, "the half-open watch was cancelled")


# without a thread


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Have the system refuse new threads, or allow them again."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    def no_threads(refused: bool) -> None:
        if refused:
            monkeypatch.setattr("_thread.start_new_thread", refuse)
            monkeypatch.setattr(threading.Thread, "start", refuse)
        else:
            monkeypatch.undo()

    yield no_threads
    monkeypatch.undo()


@every_loop
async def test_opening_or_asking_without_a_thread_raises(
    client: SimulatedBackend, no_threads: Callable[[bool], None]
) -> None:
    """If no thread can be started, BackendError says so, and nothing is registered."""
    no_threads(True)
    for call in (
        watch_teredo_port(backend=client).__aenter__,
        lambda: get_teredo_port(backend=client),
    ):
        with pytest.raises(BackendError, match="EAGAIN"):
            await call()
    assert client.subscriber_count == 0


@every_loop
async def test_closing_without_a_thread_raises_and_may_be_tried_again(
    client: SimulatedBackend, no_threads: Callable[[bool], None]
) -> None:
    """The stream is closed, the registration stays, and the next ``aclose`` cancels it."""
    events = await watch_teredo_port(backend=client).__aenter__()
    no_threads(True)
    with pytest.raises(BackendError, match="EAGAIN"):
        await events.aclose()
    assert client.subscriber_count == 1
    no_threads(False)
    await events.aclose()
    assert client.subscriber_count == 0


@every_loop
async def test_closing_without_a_thread_keeps_the_users_exception(
    client: SimulatedBackend, no_threads: Callable[[bool], None]
) -> None:
    """The user's own exception leaves the block, and a note says what failed."""
    with pytest.raises(ZeroDivisionError) as raised:
        async with watch_teredo_port(backend=client):
            no_threads(True)
            raise ZeroDivisionError
    assert "EAGAIN" in raised.value.__notes__[0]
    no_threads(False)
    _reaper.reaper.run_pending()
    assert client.subscriber_count == 0


@every_loop
@pytest.mark.parametrize("occasion", ["open", "close"])
async def test_cancel_without_a_thread_is_made_up_by_the_next_watch(
    client: SimulatedBackend, no_threads: Callable[[bool], None], occasion: str
) -> None:
    """What found no thread is cancelled when another watch opens or closes."""
    other = SimulatedBackend()
    watch = watch_teredo_port(backend=other)
    if occasion == "close":
        await watch.__aenter__()
    events = await watch_teredo_port(backend=client).__aenter__()
    no_threads(True)
    with pytest.raises(BackendError):
        await events.aclose()
    no_threads(False)
    if occasion == "open":
        await watch.__aenter__()
        assert client.subscriber_count == 0
    await watch.__aexit__(None, None, None)
    assert client.subscriber_count == 0


@every_loop
@pytest.mark.parametrize("refused", ["the bare thread", "the proper thread"])
async def test_watch_dropped_without_a_thread_is_cancelled_by_the_next(
    client: SimulatedBackend, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """A finalizer that gets no thread leaves the work to the next watch."""

    def refuse(*_: object) -> None:
        tried.set()
        raise RuntimeError("can't start new thread")

    tried = threading.Event()
    watch = watch_teredo_port(backend=client)
    events = await watch.__aenter__()
    with monkeypatch.context() as patch:
        if refused == "the bare thread":
            patch.setattr("_thread.start_new_thread", refuse)
        else:
            patch.setattr(threading.Thread, "start", refuse)
        with pytest.warns(ResourceWarning, match="unclosed"):
            del watch, events
            gc.collect()
        assert tried.wait(limit())
        wait_until(lambda: not _reaper.reaper._running.locked(), "the attempt is over")
    assert client.subscriber_count == 1
    async with watch_teredo_port(backend=SimulatedBackend()):
        assert client.subscriber_count == 0


@every_loop
async def test_many_dropped_watches_share_one_thread(
    client: SimulatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many watches are dropped at once, one thread cancels them."""
    release = threading.Event()
    slow = CountingBackend(on_cancel=release.wait)
    backends: list[Backend] = [slow, *[client] * 100]
    watches = [watch_teredo_port(backend=backend) for backend in backends]
    streams = [await watch.__aenter__() for watch in watches]
    before = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watches.clear()
        streams.clear()
        gc.collect()
    reapers = [t for t in threading.enumerate() if t.name == "aioteredo reaper"]
    assert threading.active_count() <= before + 1
    release.set()
    wait_until(lambda: not _registration._live, "all of them were cancelled")
    assert len(reapers) <= 1
    assert client.subscriber_count == 0


def test_call_handed_over_as_the_reaper_ends_is_made() -> None:
    """A call that comes after the last look, before the thread has ended, is not lost."""
    reaper = _reaper.Reaper()
    made = threading.Event()

    class Late(type(reaper._calls)):  # type: ignore[misc]
        late = iter([made.set])

        def empty(self) -> bool:
            result: bool = super().empty()
            if result and threading.current_thread() is not threading.main_thread():
                for call in self.late:
                    reaper.hand_over(call)
            return result

    reaper._calls = Late()
    reaper.hand_over(lambda: None)
    assert made.wait(limit())
    wait_until(lambda: not reaper._running.locked(), "the reaper has ended")


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="only root can become a user whose number of threads is limited",
)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_user_at_the_limit_of_threads(loop: str) -> None:
    """With a real limit: a clear error, nothing left behind, nothing on stderr."""
    code = """
import os, resource, sys
import anyio, asyncio, trio
from aioteredo import *
import aioteredo.backends._notifying_thread

def limit(threads):
    resource.setrlimit(resource.RLIMIT_NPROC, (threads, 4000))

async def main():
    client = SimulatedBackend(1)
    async with watch_teredo_port(backend=client):
        pass
    watch = watch_teredo_port(backend=client)
    await watch.__aenter__()
    limit(0)
    ask = lambda: get_teredo_port(backend=client)
    for call in (ask, watch_teredo_port(backend=client).__aenter__):
        try:
            await call()
        except BackendError as error:
            print(error.symbol)
    try:
        await watch.__aexit__(None, None, None)
    except BackendError as error:
        print(error.symbol, client.subscriber_count)
    limit(4000)
    async with watch_teredo_port(backend=SimulatedBackend()):
        print(client.subscriber_count)

async def import_everything():
    async with watch_teredo_port(backend=SimulatedBackend()):
        await get_teredo_port(backend=SimulatedBackend())

# The other user may not be allowed to read the directory that Python's modules are in.
anyio.run(import_everything, backend=sys.argv[1])

os.setgid(65534)
limit(4000)
os.setuid(65534)
anyio.run(main, backend=sys.argv[1])
"""
    result = subprocess.run(
        [sys.executable, "-c", code, loop],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
        timeout=limit(),
        check=False,
    )
    assert result.stderr == ""
    assert result.stdout.splitlines() == ["EAGAIN", "EAGAIN", "EAGAIN 1", "0"]


# closed loops


def test_loop_closed_before_the_opened_watch_was_entered() -> None:
    """The registration is gone at the latest when another watch has opened."""
    backend = CountingBackend()
    release = threading.Event()
    backend._on_subscribe = lambda: release.wait(limit())
    loop = asyncio.new_event_loop()
    watch = watch_teredo_port(backend=backend)
    task = loop.create_task(watch.__aenter__())
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.run_until_complete(started_a_thread())
    release.set()
    wait_until(lambda: not threads(), "the thread has posted its result and ended")
    loop.close()
    assert (backend.subscribed, backend.cancelled) == (1, 0)

    async def another() -> None:
        async with watch_teredo_port(backend=SimulatedBackend()):
            assert backend.cancelled == 1

    asyncio.run(another())
    assert (backend.subscribed, backend.cancelled) == (1, 1)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "aioteredo"]


async def started_a_thread() -> None:
    while not threads():
        await asyncio.sleep(0)


@pytest.mark.parametrize("order", ["event, close", "close, event"])
def test_loop_closed_with_a_task_that_waits(order: str) -> None:
    """The task can be collected, the stream warns, and the reaper cancels."""
    client = SimulatedBackend()
    loop = asyncio.new_event_loop()

    async def open_and_wait() -> asyncio.Task[PortEvent]:
        events = await watch_teredo_port(backend=client).__aenter__()
        task = asyncio.ensure_future(events.receive())
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(open_and_wait())
    if order == "event, close":
        client.set_port(1)
    loop.close()
    if order == "close, event":
        client.set_port(1)
    with pytest.warns(ResourceWarning, match="unclosed"):
        del task, loop
        gc.collect()
    wait_until(lambda: client.subscriber_count == 0, "the registration was cancelled")


def test_loop_closed_with_a_task_that_waits_and_no_event() -> None:
    """Without an event, the registration is gone when another watch has opened."""
    client = SimulatedBackend()
    loop = asyncio.new_event_loop()

    async def open_and_wait() -> PortEventStream:
        events = await watch_teredo_port(backend=client).__aenter__()
        task = asyncio.ensure_future(events.receive())
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return events

    events = loop.run_until_complete(open_and_wait())
    loop.close()
    assert client.subscriber_count == 1

    async def another() -> None:
        async with watch_teredo_port(backend=SimulatedBackend()):
            assert client.subscriber_count == 0

    asyncio.run(another())
    with pytest.warns(ResourceWarning, match="unclosed"):
        del events, loop
        gc.collect()


# misbehaving backends


@every_loop
async def test_backend_that_returns_no_subscription_is_named() -> None:
    """``subscribe`` that returns None is a TypeError at once, with the backend's name."""

    class Forgetful(CountingBackend):
        def subscribe(self, sink: Sink, *, initial: bool) -> None:  # type: ignore[override]
            return None

        def __repr__(self) -> str:
            return "<Forgetful>"

    with pytest.raises(TypeError, match=r"<Forgetful>.* cancel, not None"):
        async with watch_teredo_port(backend=Forgetful()):  # type: ignore[arg-type]
            pytest.fail("entered")
    assert not _registration._live


@every_loop
async def test_cancel_that_raises_anything_is_a_note_on_the_users_exception() -> None:
    """An OSError of ``cancel`` doesn't replace the exception that leaves the block."""

    def fail() -> None:
        raise OSError(9, "bad")

    with pytest.raises(ZeroDivisionError) as raised:
        async with watch_teredo_port(backend=CountingBackend(on_cancel=fail)):
            raise ZeroDivisionError
    assert raised.value.__notes__ == ["while closing the watch: [Errno 9] bad"]


@every_loop
async def test_cancel_that_raises_anything_is_raised_on_its_own() -> None:
    """Without another exception, the one of ``cancel`` leaves the block."""

    def fail() -> None:
        raise OSError(9, "bad")

    with pytest.raises(OSError, match="bad"):
        async with watch_teredo_port(backend=CountingBackend(on_cancel=fail)):
            pass


# cancelled before anything is registered


@pytest.mark.asyncio_loops
async def test_task_that_cancels_itself_registers_nothing() -> None:
    """A pending ``task.cancel()`` is raised before the backend is asked."""
    backend = CountingBackend()
    task = asyncio.current_task()
    assert task is not None
    calls: list[Callable[[], Awaitable[object]]] = [
        watch_teredo_port(backend=backend).__aenter__,
        lambda: get_teredo_port(backend=backend),
    ]
    for call in calls:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call()
        task.uncancel()
    assert backend.subscribed == 0


@pytest.mark.asyncio_loops
async def test_cancellation_that_was_delivered_before_keeps_nobody_from_opening() -> None:
    """A task that handles its cancellation may open a watch while it does so."""
    backend = CountingBackend()
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(0)
    async with watch_teredo_port(backend=backend):
        pass
    assert task.cancelling() == 1
    task.uncancel()
    assert (backend.subscribed, backend.cancelled) == (1, 1)
