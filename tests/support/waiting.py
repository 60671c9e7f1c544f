"""One limit for everything that a test waits for, and the helpers that keep to it.

A product that hangs must fail its tests by name. The conftest puts each coroutine test
under the limit, and shortens the limit once a test has reached it.
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
"""Seconds that a test may wait. pytest-timeout's limit is longer, as it is the backstop."""

SHORT_LIMIT: Final = 3.0
"""Seconds that a test may wait once another one has waited in vain."""

_reason: str | None = None


def limit() -> float:
    """Return the seconds that a test may wait now."""
    return LIMIT if _reason is None else SHORT_LIMIT


def is_short() -> bool:
    """Return whether a test has waited in vain already."""
    return _reason is not None


def shorten(test: str) -> None:
    """Shorten the limit from now on, because *test* has reached it.

    With one test that hangs, the product is evidently broken. Hundreds of tests that
    each wait for the whole limit would take hours to say so.
    """
    global _reason
    if _reason is None:
        _reason = f"short since {test} reached {LIMIT:g} s"


def too_late(what: str, seconds: float) -> TimeoutError:
    """Make the error of a wait that has reached the limit."""
    return TimeoutError(
        f"{what}: not in {seconds:g} s" + (f" ({_reason})" if _reason else "")
    )


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Look again and again, with a short pause between the looks.

    This is for the conditions that nobody announces, as those of a C library.

    :raises TimeoutError: if *what* did not become true within the limit
    """
    seconds = limit()
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise too_late(what, seconds)
        time.sleep(0.001)


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Look again and again, and let the other tasks run between the looks.

    :raises TimeoutError: if *what* did not become true within the limit
    """
    seconds = limit()
    deadline = anyio.current_time() + seconds
    while not condition():
        if anyio.current_time() > deadline:
            raise too_late(what, seconds)
        await checkpoint()


async def in_time(
    func: Callable[[], Awaitable[T]], what: str, seconds: float | None = None
) -> T:
    """Await *func* and return its result, but cancel it at the limit.

    :param seconds: a limit of its own
    :raises TimeoutError: if *func* was cancelled; the cause is the cancellation, whose
        traceback ends at the line that waited in vain
    """
    if seconds is None:
        seconds = limit()
    waited: BaseException | None = None
    with anyio.move_on_after(seconds):
        try:
            return await func()
        except anyio.get_cancelled_exc_class() as cancelled:
            waited = cancelled
            raise
    try:
        raise too_late(what, seconds) from waited
    finally:
        del waited  # Its traceback holds this frame: the two would be a cycle.


def start_thread(target: Callable[[], object]) -> Thread:
    """Start a thread that cannot keep the interpreter from ending if it hangs."""
    thread = Thread(target=target, daemon=True)
    thread.start()
    return thread


def join(*threads: Thread) -> None:
    """Wait for the end of *threads*.

    :raises TimeoutError: if a thread is alive at the limit
    """
    for thread in threads:
        seconds = limit()
        thread.join(seconds)
        if thread.is_alive():
            raise too_late(f"the end of {thread.name}", seconds)


def kill_at_the_limit(process: subprocess.Popen[Any], times: int = 1) -> Timer:
    """Kill *process* at the limit: a test that reads from it then reads an end.

    :param times: the limit's multiple, for a process that works for long
    :return: a timer to cancel when the process is not needed any more
    """
    timer = Timer(times * limit(), process.kill)
    timer.daemon = True
    timer.start()
    return timer
