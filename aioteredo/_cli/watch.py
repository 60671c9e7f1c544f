"""The command ``watch``, which prints a line for each event."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import anyio

from .._backend import BackendLike
from .announce import announce
from .formats import Event
from .hang_up import run_until_hang_up
from .output import LineWriter, run_on_thread
from .subject import PORT, Subject


async def watch(
    format_event: Callable[[Event], str],
    *,
    subject: Subject = PORT,
    initial: bool,
    max_buffer_size: int,
    backend: BackendLike | None,
    count: int | None,
    timeout: float | None,  # noqa: ASYNC109 - reaching it is success, not an error
) -> int:
    """Print each event on standard output, until a limit is reached or the reader has gone.

    :param format_event: returns the line for an event
    :param subject: the value to follow
    :param count: the number of events after which to return, or None for no limit
    :param timeout: the seconds after which to return, or None for no limit
    :return: 0
    :raises ReaderGoneError: if a line finds that nobody reads the output any more
    :raises OutputError: if the output cannot be written
    """
    output = LineWriter(sys.stdout)

    async def print_events() -> None:
        async with subject.watch(
            initial=initial, max_buffer_size=max_buffer_size, backend=backend
        ) as events:
            await announce(subject, backend)

            printed = 0
            async for event in events:
                await _call_on_thread(partial(output.write, format_event(event)))
                printed += 1
                if printed == count:
                    return

    with anyio.move_on_after(timeout):
        await run_until_hang_up(print_events, output)
    return 0


async def _call_on_thread(write: Callable[[], None]) -> None:
    """Await *write* on a thread; a cancellation returns at once, and abandons the thread.

    Written on the event loop's thread, a line that the reader does not take would stop the
    loop: the timeout would not run out, and a hang-up would not be noticed.
    """
    written = Future[None]()
    # A future that runs cannot be cancelled, so the abandoned thread can set its result.
    written.set_running_or_notify_cancel()

    def work() -> None:
        try:
            write()
        except BaseException as error:  # noqa: BLE001 - the awaiting task raises it
            written.set_exception(error)
        else:
            written.set_result(None)

    run_on_thread(work)
    await asyncio.wrap_future(written)
