"""One blocking call on a thread of its own."""

from __future__ import annotations

import gc
import threading
import weakref

import anyio
import pytest

from aioteredo._threads import run_sync

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
        start(thread)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        await run_sync(lambda: started.wait(10), unheard=undone.set)
    started.set()
    assert undone.wait(10)
