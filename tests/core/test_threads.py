"""One blocking call on a thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import Callable

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aioteredo import BackendError
from aioteredo._new_thread import start_thread
from aioteredo._threads import run_sync

from ..support.waiting import limit

every_loop = pytest.mark.every_loop


@every_loop
async def test_thread_is_waited_for_by_the_interpreter() -> None:
    """The call runs on another thread, which is no daemon."""
    thread = await run_sync(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.daemon


@every_loop
async def test_exception_leaves_no_cycle() -> None:
    """An exception of the call is raised, and is gone with its handler, without gc."""

    class Local:
        pass

    def fail() -> None:
        local = Local()
        references.append(weakref.ref(local))
        raise ZeroDivisionError

    references: list[weakref.ref[Local]] = []
    gc.disable()
    try:
        with pytest.raises(ZeroDivisionError) as raised:
            await run_sync(fail)
        del raised
        await anyio.lowlevel.checkpoint()
        assert references[0]() is None
    finally:
        gc.enable()


@every_loop
async def test_interrupted_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the moment of starting: the call is made, and undone by its thread."""
    started, undone = threading.Event(), threading.Event()
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        monkeypatch.undo()
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        await run_sync(lambda: started.wait(limit()), on_abandoned=undone.set)
    started.set()
    assert undone.wait(limit())


@every_loop
async def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system refuses another thread, BackendError says so and nothing is called."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(BackendError, match="EAGAIN") as raised:
        await run_sync(pytest.fail)
    assert isinstance(raised.value.__cause__, RuntimeError)


@every_loop
async def test_thread_has_the_callers_context() -> None:
    """The call sees the caller's context variables, as in ``to_thread.run_sync``."""
    variable.set("the caller's")
    assert await run_sync(variable.get) == "the caller's"


variable = contextvars.ContextVar("variable", default="nobody's")


@every_loop
async def test_long_lived_thread_has_an_empty_context() -> None:
    """A thread that a backend starts in a call keeps nothing of the caller's context."""
    variable.set("the caller's")
    seen: list[str] = []

    def start() -> threading.Thread:
        return start_thread(lambda: seen.append(variable.get()))

    (await run_sync(start)).join()
    assert seen == ["nobody's"]


@pytest.mark.asyncio_loops
async def test_pending_cancel_is_raised_even_if_the_call_is_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The task suspends at least once, which is where asyncio delivers a cancellation."""

    def start_and_join(target: Callable[[], object]) -> None:
        start_thread(target).join()

    monkeypatch.setattr("aioteredo._threads.start_thread", start_and_join)
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run_sync(lambda: None)
    task.uncancel()


def test_callback_that_ends_the_wait_was_interrupted() -> None:
    """The task looks at what the thread has done, not at whether the loop told it.

    Ctrl-C on an asyncio loop without a handler of its own can hit the loop's callback.
    The next thing that wakes the task, a cancellation here, ends its wait.
    """
    release = threading.Event()
    lost = threading.Event()
    loop = asyncio.new_event_loop()

    def post(callback: object, *args: object) -> None:
        lost.set()

    loop.call_soon_threadsafe = post  # type: ignore[method-assign,assignment]
    task = loop.create_task(run_sync(release.wait))
    loop.run_until_complete(asyncio.sleep(0))
    release.set()
    assert lost.wait(limit())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(asyncio.wait_for(task, limit()))
    loop.close()


@every_loop
async def test_coroutine_closed_by_its_own_task_leaves_no_shield() -> None:
    """A task that closes a call half-way can be cancelled afterwards."""
    release = threading.Event()
    undone = threading.Event()
    with anyio.CancelScope() as scope:
        call = run_sync(release.wait, on_abandoned=undone.set)
        call.send(None)
        call.close()
        release.set()
        scope.cancel()
        await checkpoint()
        pytest.fail("the task is still shielded")
    assert scope.cancelled_caught
    assert undone.wait(limit())
