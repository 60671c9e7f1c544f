"""The kinds of event loop on which the contenders are compared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import trio

T = TypeVar("T")

ASYNCIO: Final = ("asyncio", "uvloop")
NAMES: Final = (*ASYNCIO, "trio")

# A new version of Python may have no uvloop yet. The other loops can be measured there.
AVAILABLE: Final = tuple(
    name for name in NAMES if name != "uvloop" or find_spec("uvloop") is not None
)


def run(loop: str, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run *main* in a new event loop of that kind."""
    if loop == "trio":
        return trio.run(main)

    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(_ignore_late_callback)
        return runner.run(main())


def _ignore_late_callback(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Ctrl-C cancels the Future that a posted callback is about to set. asyncio would print
    # a traceback for it. The measures find lost events by themselves.
    if not isinstance(context.get("exception"), asyncio.InvalidStateError):
        loop.default_exception_handler(context)


def post(loop: str) -> Callable[..., object]:
    """Return the running loop's function that other threads call to post a callback."""
    if loop == "trio":
        return trio.lowlevel.current_trio_token().run_sync_soon
    return asyncio.get_running_loop().call_soon_threadsafe


def sleep(loop: str) -> Callable[[float], Coroutine[Any, Any, None]]:
    """Return the loop's own sleep. ``sleep(0)`` gives each other task one turn."""
    return trio.sleep if loop == "trio" else asyncio.sleep
