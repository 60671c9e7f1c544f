"""Ctrl-C at any step of joining or leaving a shared registration leaves nothing."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from types import FrameType, SimpleNamespace
from typing import Any, cast

import pytest
import trio

import aioteredo
from aioteredo import Backend, watch_teredo_port
from aioteredo._fan_out import FanOut
from aioteredo._registry import registry

from ..support.interruption import is_free, once
from ..support.loops import ASYNCIO_LOOPS
from ..support.sinks import RecordingSink
from ..support.waiting import join, start_thread, wait_until
from .sharing import manual_backend, users

PACKAGE = aioteredo.__file__.removesuffix("__init__.py")

Main = Callable[[], Coroutine[Any, Any, None]]


def run_on_asyncio(main: Main) -> None:
    """Run *main* on a loop without a SIGINT handler of its own, unlike ``asyncio.run``."""
    loop = next(iter(ASYNCIO_LOOPS.values()))()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def interrupt_step(number: int) -> None:
    """Raise KeyboardInterrupt at this step of the package, counted from now on.

    CPython raises it when a Python function begins or a built-in has returned.
    """
    steps = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal steps
        code = frame.f_code
        if event not in ("call", "c_return") or not code.co_filename.startswith(PACKAGE):
            return
        # trio calls this function, and protects itself from Ctrl-C there.
        if code.co_name != "_do_nothing":
            steps += 1
            if steps == number:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(profile)


async def open_watch(shared: Backend, number: int) -> None:
    watch = watch_teredo_port(initial=True, backend=shared)
    interrupt_step(number)
    await watch.__aenter__()
    sys.setprofile(None)
    await watch.__aexit__(None, None, None)


async def close_watch(shared: Backend, number: int) -> None:
    watch = watch_teredo_port(initial=True, backend=shared)
    await watch.__aenter__()
    interrupt_step(number)
    await watch.__aexit__(None, None, None)
    sys.setprofile(None)


@pytest.mark.parametrize("run", [run_on_asyncio, trio.run], ids=["asyncio", "trio"])
@pytest.mark.parametrize("use", [open_watch, close_watch])
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.timeout(300)  # There are hundreds of steps.
def test_ctrl_c_at_any_step_leaves_no_sink_and_no_lock(
    run: Callable[[Main], None],
    use: Callable[[Backend, int], Coroutine[Any, Any, None]],
) -> None:
    """The other watches go on, and new ones can join and leave."""
    backend, shared = manual_backend()
    sink = RecordingSink()
    subscription = shared.subscribe(sink, initial=True)

    number = 0
    interrupted = True
    while interrupted:
        number += 1
        interrupted = is_interrupted(run, partial(use, shared, number))
        gc.collect()
        wait_until(
            lambda: users(shared) == 1 and not registry.subscriptions,
            f"no watch is left after step {number}",
        )
        backend.push(number)
        check_locks(shared)

    assert number > 20, "the package was not traced"
    assert [port for port, _ in sink.pushed] == [1000, *range(1, number + 1)]
    subscription.cancel()
    assert (backend.subscribed, backend.cancelled) == (1, 1)


def is_interrupted(run: Callable[[Main], None], main: Main) -> bool:
    try:
        run(main)
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def check_locks(shared: Backend) -> None:
    """Check that another thread can take each lock."""

    def use() -> None:
        shared.subscribe(RecordingSink(), initial=True).cancel()
        with registry.lock:
            pass

    join(start_thread(use))


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_ctrl_c_as_a_push_acquires_its_lock_leaves_the_lock_free(before: bool) -> None:
    """The next notification reaches the sinks."""
    backend, shared = manual_backend()
    sink = RecordingSink()
    subscription = shared.subscribe(sink, initial=False)
    fan_out = cast("FanOut[int | None]", backend.sinks[0])
    lock: Any = fan_out._lock
    fan_out._lock = cast(
        "Any",
        SimpleNamespace(acquire=once(lock.acquire, before=before), release=lock.release),
    )

    with pytest.raises(KeyboardInterrupt):
        backend.push(7)
    backend.push(8)
    assert [port for port, _ in sink.pushed] == [8]
    fan_out._lock = lock
    subscription.cancel()
    assert is_free(lock)
