"""The event loops, and the little of them that the contenders need by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import trio

T = TypeVar("T")

ASYNCIO: Final = ("asyncio", "uvloop")
NAMES: Final = (*ASYNCIO, "trio")
# uvloop has no wheel for Windows, nor for each new interpreter at once
AVAILABLE: Final = tuple(
    name for name in NAMES if name != "uvloop" or find_spec("uvloop") is not None
)


def run(loop: str, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run *main* in a fresh event loop of that kind."""
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
    # A callback that was posted when Ctrl-C came finds its future cancelled. That no
    # event is lost otherwise is checked.
    if not isinstance(context.get("exception"), asyncio.InvalidStateError):
        loop.default_exception_handler(context)


def sleep(loop: str) -> Callable[[float], Coroutine[Any, Any, None]]:
    """The loop's own; ``sleep(0)`` lets each other task run once."""
    return trio.sleep if loop == "trio" else asyncio.sleep
