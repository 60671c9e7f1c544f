"""Without new threads, a clear error is raised and nothing stays registered."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from aioteredo import (
    BackendError,
    SimulatedBackend,
    _reaper,
    get_teredo_port,
    watch_teredo_port,
)

from ..support.python import output_of
from ..support.waiting import limit, wait_until

every_loop = pytest.mark.every_loop


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], None]]:
    """Return a function that makes the system refuse new threads, or allow them again."""

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
async def test_opening_without_a_thread_raises(
    client: SimulatedBackend, no_threads: Callable[[bool], None]
) -> None:
    """BackendError is raised and nothing is registered, also by get_teredo_port()."""
    no_threads(True)
    for call in (
        watch_teredo_port(backend=client).__aenter__,
        lambda: get_teredo_port(backend=client),
    ):
        with pytest.raises(BackendError, match="EAGAIN"):
            await call()

    assert client.subscriber_count == 0


@every_loop
async def test_closing_without_a_thread_raises_and_can_be_repeated(
    client: SimulatedBackend, no_threads: Callable[[bool], None]
) -> None:
    """The stream is closed, and the next ``aclose()`` cancels the registration."""
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
    """The exception of the user leaves the block, with a note about the failure."""
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
async def test_cancel_without_a_thread_is_done_by_the_next_watch(
    client: SimulatedBackend, no_threads: Callable[[bool], None], occasion: str
) -> None:
    """The registration is cancelled when another watch opens or closes."""
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
async def test_watch_dropped_without_a_thread_is_cancelled_by_the_next_watch(
    client: SimulatedBackend, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """A finalizer that gets no thread leaves the registration to the next watch."""

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


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="only root can become a user whose number of threads is limited",
)
@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_user_at_the_limit_of_threads_gets_a_clear_error(loop: str) -> None:
    """Under a real limit, BackendError is raised, and nothing stays registered."""
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

# The modules are imported by root: the other user may not be allowed to read them.
anyio.run(import_everything, backend=sys.argv[1])

os.setgid(65534)
limit(4000)
os.setuid(65534)
anyio.run(main, backend=sys.argv[1])
"""
    output = output_of(code, loop)

    assert output.splitlines() == ["EAGAIN", "EAGAIN", "EAGAIN 1", "0"]
