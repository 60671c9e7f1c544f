"""``watch``: a line per event, until it has been enough or nobody reads any more.

A pipe's reader that goes is noticed when it goes, not at the next line, which may be
days away: for the writing end of a pipe that is what "readable" means. A pipe that is full
is waited for in the loop, where the time that was set can still run out.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable

import anyio

from ._backend import BackendLike
from ._events import PortEvent
from ._output import say
from ._signals import Signals
from ._watch import watch_teredo_port


async def watch(
    format_: Callable[[PortEvent], str],
    signals: Signals,
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
    pipe = _output_pipe()

    async def print_events() -> None:
        async with watch_teredo_port(
            initial=initial, max_buffer_size=max_buffer_size, backend=backend
        ) as events:
            left = count
            async for event in events:
                line = format_(event)
                if pipe is not None:
                    await anyio.wait_writable(pipe)
                with signals.interrupting():
                    say(line)
                if left is not None:
                    left -= 1
                    if left == 0:
                        return

    with anyio.move_on_after(seconds):
        try:
            async with anyio.create_task_group() as group:
                if pipe is not None:
                    group.start_soon(_wait_until_reader_goes, pipe, group.cancel_scope)
                await print_events()
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return 0


def _output_pipe() -> int | None:
    """The descriptor of standard output, if it is a pipe and would tell."""
    try:
        number = sys.stdout.fileno()
    except OSError:  # it is no file at all
        return None
    if sys.platform == "win32":  # pragma: no cover - measured on Linux
        return None  # there no pipe tells: it is noticed at the next line
    import fcntl

    is_pipe = stat.S_ISFIFO(os.fstat(number).st_mode)
    access = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
    # one that is opened for both is readable when it has been written to
    return number if is_pipe and access == os.O_WRONLY else None


async def _wait_until_reader_goes(pipe: int, scope: anyio.CancelScope) -> None:
    await anyio.wait_readable(pipe)
    scope.cancel()
