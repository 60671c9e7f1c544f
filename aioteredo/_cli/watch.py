"""``watch``: a line per event, until it has been enough or nobody reads any more.

Each line is written on a thread, so that a reader that has stalled does not hold the event
loop: the time that was set still runs out, a signal ends the command, and a reader that
goes is noticed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

import anyio

from .._backend import BackendLike
from .._events import PortEvent
from .._watch import watch_teredo_port
from .announce import announce
from .output import Output, on_a_thread
from .reader import wait_until_reader_goes


async def watch(
    format_: Callable[[PortEvent], str],
    *,
    initial: bool,
    max_buffer_size: int,
    backend: BackendLike | None,
    count: int | None,
    seconds: float | None,
) -> int:
    """Print each event.

    :param count: end after so many events
    :param seconds: end after so long
    """
    output = Output(sys.stdout)

    async def print_events() -> None:
        async with watch_teredo_port(
            initial=initial, max_buffer_size=max_buffer_size, backend=backend
        ) as events:
            await announce(backend)
            left = count
            async for event in events:
                await _without_blocking(partial(output.write, format_(event)))
                if left is not None:
                    left -= 1
                    if left == 0:
                        return

    async def cancel_when_reader_goes(number: int) -> None:
        await wait_until_reader_goes(number)
        group.cancel_scope.cancel()

    with anyio.move_on_after(seconds):
        try:
            async with anyio.create_task_group() as group:
                if (number := output.fileno()) is not None:
                    group.start_soon(cancel_when_reader_goes, number)
                await print_events()
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return 0


async def _without_blocking(write: Callable[[], None]) -> None:
    """Await *write* on a thread. A cancellation leaves the thread behind."""
    written = Future[None]()
    # A future that runs cannot be cancelled, so the thread can always set its result.
    written.set_running_or_notify_cancel()

    def work() -> None:
        try:
            write()
        except BaseException as error:  # noqa: BLE001 - the event loop raises it
            written.set_exception(error)
        else:
            written.set_result(None)

    on_a_thread(work)
    await asyncio.wrap_future(written)
