"""The limit for everything that a test waits for, and the functions that keep to it.

A product that hangs must fail its tests by name. The conftest runs each coroutine test
under the limit.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Awaitable, Callable
from threading import Thread, Timer
from typing import Any, Final, TypeVar

import anyio
from anyio.lowlevel import checkpoint

T = TypeVar("T")

LIMIT: Final = 40.0
"""Seconds that a test may wait. pytest-timeout has a longer limit, as the backstop."""

SHORT_LIMIT: Final = 3.0
"""Seconds that a test may wait after another test has reached the limit."""

_why_short: str | None = None


def limit() -> float:
    """Return the number of seconds that a test may wait now."""
    return LIMIT if _why_short is None else SHORT_LIMIT


def is_limit_short() -> bool:
    """Return whether a test has already reached the limit."""
    return _why_short is not None


def shorten_limit(test: str) -> None:
    """Shorten the limit for the rest of the run, because *test* has reached it.

    A test that hangs proves that the product is broken. Hundreds of tests that each wait
    for the whole limit would only delay this news by hours.
    """
    global _why_short
    if _why_short is None:
        _why_short = f"the limit is short since {test} reached {LIMIT:g} s"


def wait_until(condition: Callable[[], object], description: str) -> None:
    """Call *condition* again and again, with short pauses, until it returns a true value.

    Use this only for a condition that nothing announces, such as the state of a C library.

    :param description: the condition in words, for the error
    :raises TimeoutError: if the condition is still false at the limit
    """
    seconds = limit()
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise _timeout_error(description, seconds)
        time.sleep(0.001)


async def eventually(condition: Callable[[], object], description: str) -> None:
    """Call *condition* until it returns a true value, and let other tasks run in between.

    :param description: the condition in words, for the error
    :raises TimeoutError: if the condition is still false at the limit
    """
    seconds = limit()
    deadline = anyio.current_time() + seconds
    while not condition():
        if anyio.current_time() > deadline:
            raise _timeout_error(description, seconds)
        await checkpoint()


async def in_time(
    func: Callable[[], Awaitable[T]], description: str, seconds: float | None = None
) -> T:
    """Await *func* and return its result, but cancel it at the limit.

    :param description: the end of *func* in words, for the error
    :param seconds: the limit, if it is not the usual one
    :raises TimeoutError: if *func* was cancelled. The cause is the cancellation, whose
        traceback ends at the line that was waiting
    """
    if seconds is None:
        seconds = limit()

    cancellation: BaseException | None = None
    with anyio.move_on_after(seconds):
        try:
            return await func()
        except anyio.get_cancelled_exc_class() as error:
            cancellation = error
            raise

    try:
        raise _timeout_error(description, seconds) from cancellation
    finally:
        # The traceback of the cancellation refers to this frame. If the frame also
        # referred to the cancellation, only the garbage collector could free the two.
        del cancellation


def start_thread(target: Callable[[], object]) -> Thread:
    """Start a daemon thread, which cannot keep the interpreter alive if it hangs."""
    thread = Thread(target=target, daemon=True)
    thread.start()
    return thread


def join(*threads: Thread) -> None:
    """Wait until each of the threads has ended.

    :raises TimeoutError: if a thread is alive at the limit
    """
    for thread in threads:
        seconds = limit()
        thread.join(seconds)
        if thread.is_alive():
            raise _timeout_error(f"the end of {thread.name}", seconds)


def kill_at_the_limit(process: subprocess.Popen[Any], times: int = 1) -> Timer:
    """Kill *process* at the limit, so that a test which reads from it gets an end of file.

    :param times: multiplies the limit, for a process that works for a long time
    :return: a timer, which the test cancels when it does not need the process any more
    """
    timer = Timer(times * limit(), process.kill)
    timer.daemon = True
    timer.start()
    return timer


def _timeout_error(description: str, seconds: float) -> TimeoutError:
    reason = "" if _why_short is None else f" ({_why_short})"
    return TimeoutError(f"{description}: not within {seconds:g} s{reason}")
