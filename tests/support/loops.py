"""The event loops that the tests run on, by the names that the ids of the tests contain."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import trio

TRIO: Final = "trio"


def asyncio_loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return a factory for each kind of asyncio event loop on this platform."""
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
    except ImportError:  # uvloop has no wheel for this interpreter
        return factories
    return factories | {"uvloop": uvloop.new_event_loop}


ASYNCIO_LOOPS: Final = asyncio_loops()


def run(name: str, main: Callable[[], Coroutine[Any, Any, None]], seconds: float) -> None:
    """Run *main* on the event loop with this name.

    :param seconds: the time after which an asyncio loop is stopped, even if *main* cannot
        be cancelled. A trio loop cannot be stopped: pytest-timeout ends such a test
    :raises TimeoutError: if the loop was stopped
    """
    if name == TRIO:
        trio.run(main)
        return

    ended = False

    async def run_and_record_the_end() -> None:
        nonlocal ended
        try:
            await main()
        finally:
            ended = True

    runner = asyncio.Runner(loop_factory=ASYNCIO_LOOPS[name])
    loop = runner.get_loop()
    timer = loop.call_later(seconds, loop.stop)
    try:
        runner.run(run_and_record_the_end())
    except RuntimeError as error:
        if ended:
            raise
        raise TimeoutError(
            f"no cancellation ended the test within {seconds:g} s"
        ) from error
    finally:
        timer.cancel()
        if ended:
            runner.close()
        else:
            # The runner would cancel the test again, and wait without a limit for its end.
            loop.close()
