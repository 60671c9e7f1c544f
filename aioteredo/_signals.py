"""How a command that waits is ended by a signal: alike for each, and on each platform.

By a handler of ``signal.signal`` that has the loop cancel a scope. ``asyncio.run`` knows
SIGINT only, and the loops' own handlers (anyio's receiver is made of them) neither exist
on Windows nor run while something blocks. They are added all the same: that gives a
loop its wake-up descriptor, which on Windows it always has. Without one, a signal that
comes just before the loop waits is not seen before the loop has waited. They do the same,
for a signal may come when they are there and ours is not yet.

A cancelled scope, and no exception out of the handler: it could hit the event loop, or
what is ending a child just then. The one exception to that is output. A write to a pipe
that nobody reads is no place to wait in: it would go on after the handler, for ever.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final

import anyio

# What a terminal, a service manager or a session ends a program by. SIGBREAK is Windows':
# Ctrl-Break, and the end of a console or a session.
SIGNALS: Final = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")
    if name in signal.Signals.__members__
)


class Signals:
    """The signals that came, and whether they may interrupt what is done now."""

    def __init__(self) -> None:
        self._received: list[int] = []
        self._interruptible = False

    @contextmanager
    def interrupting(self, *, again: bool = False) -> Iterator[None]:
        """A block that a signal leaves by KeyboardInterrupt, also from a blocking call.

        :param again: only one that is still to come
        """
        try:
            self._interruptible = True
            if self._received and not again:  # since the loop has last had its turn
                raise KeyboardInterrupt
            yield
        finally:
            self._interruptible = False

    async def run(self, func: Callable[[], Awaitable[int]]) -> int:
        """Call *func* in the main thread's asyncio loop, cancel it if a signal comes.

        A signal that this process ignores, as those of ``nohup`` and of a shell's
        background jobs, stays so.

        :return: what *func* returns, or 128 and the signal's number, as shells have it
        """
        loop, scope = asyncio.get_running_loop(), anyio.CancelScope()

        def cancel(number: int) -> None:
            self._received.append(number)
            scope.cancel()

        def stop(number: int, _: FrameType | None) -> None:
            self._received.append(number)
            loop.call_soon_threadsafe(scope.cancel)
            if self._interruptible:
                self._interruptible = False  # one more would interrupt what this one does
                raise KeyboardInterrupt

        with ExitStack() as stack, scope:
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):  # None: it is not Python's
                    stack.callback(signal.signal, number, handler)
                    if sys.platform != "win32":  # pragma: no branch - measured on Linux
                        loop.add_signal_handler(number, cancel, number)
                        stack.callback(loop.remove_signal_handler, number)
                    signal.signal(number, stop)
            try:
                return await func()
            except KeyboardInterrupt:
                if not self._received:  # nor is it of ours
                    raise
        return 128 + self._received[0]
