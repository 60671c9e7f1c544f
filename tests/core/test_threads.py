"""``run_sync``: one blocking call on a thread of its own."""

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

from ..support.waiting import eventually, limit

every_loop = pytest.mark.every_loop


@every_loop
async def test_call_runs_on_another_thread_that_is_not_a_daemon() -> None:
    """The interpreter waits for such a thread before it exits."""
    thread = await run_sync(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.daemon


@every_loop
async def test_exception_of_the_call_leaves_no_reference_cycle() -> None:
    """The exception is freed after its handler, without the garbage collector."""

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


@pytest.mark.asyncio_loops
async def test_cancelled_call_leaves_no_cycle() -> None:
    """After a native ``task.cancel()`` nothing of the call is left, without gc."""

    class Local:
        def wait(self) -> None:
            started.set()
            assert released.wait(limit())

    async def call() -> None:
        local = Local()
        references.append(weakref.ref(local))
        await run_sync(local.wait)

    started, released = threading.Event(), threading.Event()
    references: list[weakref.ref[Local]] = []
    gc.disable()
    try:
        task = asyncio.ensure_future(call())
        await anyio.to_thread.run_sync(started.wait, limit())
        task.cancel()
        await checkpoint()
        released.set()
        await asyncio.wait([task])
        with pytest.raises(asyncio.CancelledError):
            task.result()
        del task
        await eventually(lambda: references[0]() is None, "the call has gone")
    finally:
        gc.enable()


@every_loop
async def test_ctrl_c_while_the_thread_starts_abandons_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread makes the call, and then calls ``on_abandoned``."""
    started = threading.Event()
    undone = threading.Event()
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
async def test_system_that_refuses_a_thread_raises_backend_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The function is not called, and the cause is the RuntimeError of Python."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(BackendError, match="EAGAIN") as raised:
        await run_sync(pytest.fail)

    assert isinstance(raised.value.__cause__, RuntimeError)


@every_loop
async def test_thread_has_the_callers_context() -> None:
    """The call sees the context variables of the caller, as in ``to_thread.run_sync``."""
    variable.set("the caller's")
    assert await run_sync(variable.get) == "the caller's"


variable = contextvars.ContextVar("variable", default="nobody's")


@every_loop
async def test_thread_that_the_call_starts_has_an_empty_context() -> None:
    """A thread of a backend keeps no context variable of the caller."""
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
    """The task always suspends, because asyncio delivers a cancellation only there."""

    def start_and_join(target: Callable[[], object]) -> None:
        start_thread(target).join()

    monkeypatch.setattr("aioteredo._threads.start_thread", start_and_join)
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run_sync(lambda: None)
    task.uncancel()


def test_lost_wakeup_does_not_make_the_task_wait_in_vain() -> None:
    """At any wake-up, the task looks whether the thread has finished.

    Ctrl-C on an asyncio loop without a SIGINT handler can interrupt the posted callback.
    A cancellation wakes the task here.
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
async def test_task_that_closes_the_call_half_way_is_not_shielded() -> None:
    """The task can be cancelled afterwards."""
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
