"""How a command that waits is ended by a signal: alike for each, and on each platform.

A handler of ``signal.signal`` that has the loop cancel a scope. anyio's and asyncio's
own receivers don't exist on Windows, and ``asyncio.run`` knows SIGINT only. This handler
is called at once there as well: the C runtime's writes to the Proactor loop's wake-up
socket, which ends its poll; elsewhere the signal itself interrupts it.

A cancelled scope, and no exception out of the handler: it could hit the event loop, or
what is ending a child just then. The one exception to that is output. A write to a pipe
that nobody reads is no place to wait in: it would go on after the handler, for ever.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final

import anyio

from ._loop import current_loop

# Whatever ends a program by default and can be caught. SIGBREAK is Windows': Ctrl-Break,
# and the end of a console or a session.
SIGNALS: Final = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if name in signal.Signals.__members__
)


class Signals:
    """The signals that came, and whether they may interrupt what is done now."""

    def __init__(self) -> None:
        self._received: list[int] = []
        self._interruptible = False

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """A block that a signal leaves by KeyboardInterrupt, also from a blocking call."""
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False

    async def run(self, func: Callable[[], Awaitable[int]]) -> int:
        """Call *func* in the main thread's event loop, cancel it if a signal comes.

        A signal that this process ignores, as those of ``nohup`` and of a shell's
        background jobs, stays so.

        :return: what *func* returns, or 128 and the signal's number, as shells have it
        """
        loop, scope = current_loop(), anyio.CancelScope()

        def stop(number: int, _: FrameType | None) -> None:
            self._received.append(number)
            loop.post(scope.cancel)
            if self._interruptible:
                raise KeyboardInterrupt

        with ExitStack() as stack, scope:
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    stack.callback(signal.signal, number, signal.signal(number, stop))
            try:
                return await func()
            except KeyboardInterrupt:
                if not self._received:  # nor is it of ours
                    raise
        return 128 + self._received[0]
