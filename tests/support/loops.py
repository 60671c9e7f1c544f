"""The event loops that the tests run on, by the names that are in the tests' ids."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import trio

TRIO: Final = "trio"


def asyncio_loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return what makes each kind of asyncio's event loops on this platform."""
    if sys.platform == "win32":
        return {
            "proactor": asyncio.ProactorEventLoop,
            "selector": asyncio.SelectorEventLoop,
        }
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.SelectorEventLoop
    }
    try:
        import uvloop
    except ImportError:  # There is no wheel for this interpreter.
        return factories
    return factories | {"uvloop": uvloop.new_event_loop}


ASYNCIO_LOOPS: Final = asyncio_loops()


def run(name: str, main: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
    """Run *main* on the event loop of that *name*.

    :param seconds: after this time *main* is given up, even if it cannot be cancelled;
        trio has nothing to do so, and leaves it to pytest-timeout
    :raises TimeoutError: if *main* was given up
    """
    if name == TRIO:
        trio.run(main)
        return
    ended = False

    async def noted() -> None:
        nonlocal ended
        try:
            await main()
        finally:
            ended = True

    runner = asyncio.Runner(loop_factory=ASYNCIO_LOOPS[name])
    loop = runner.get_loop()
    timer = loop.call_later(seconds, loop.stop)
    try:
        runner.run(noted())
    except RuntimeError as error:
        if ended:
            raise
        raise TimeoutError(f"no cancellation ended the test in {seconds:g} s") from error
    finally:
        timer.cancel()
        if ended:
            runner.close()
        else:
            # The runner would cancel the test once more, and wait for it without a limit.
            loop.close()
