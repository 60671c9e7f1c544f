"""How a command that waits is ended by a signal: alike for each, and on each platform.

A handler of ``signal.signal`` has the loop cancel a scope. The loops' own handlers neither
exist on Windows nor run while something blocks. The handler raises an exception only while
output is written: a write to a full pipe would go on until somebody reads it. Elsewhere an
exception could hit the event loop, or the code that is ending a child.
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

# Each signal that ends a process by default and does not stand for a fault of the process,
# as SIGSEGV and SIGABRT do. SIGBREAK is Windows': Ctrl-Break, and the end of a console or a
# session. SIGPOLL is SIGIO, but only Linux has that name; macOS ignores SIGIO by default.
_NAMES: Final = (
    *("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK", "SIGUSR1", "SIGUSR2"),
    *("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGPOLL", "SIGPWR", "SIGSTKFLT"),
)
if sys.platform == "linux":  # pragma: no branch - measured on Linux
    # Most of them have no name.
    _REAL_TIME: Final = range(signal.SIGRTMIN, signal.SIGRTMAX + 1)
else:  # pragma: no cover - measured on Linux
    _REAL_TIME: Final = range(0)
SIGNALS: Final[tuple[int, ...]] = (
    *(signal.Signals[name] for name in _NAMES if name in signal.Signals.__members__),
    *_REAL_TIME,
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
        background jobs, stays so. A signal that somebody else handles is left to them.

        :return: what *func* returns, or 128 and the signal's number, as shells have it
        """
        loop, scope = asyncio.get_running_loop(), anyio.CancelScope()
        status = 0

        def stop(number: int, _: FrameType | None) -> None:
            self._received.append(number)
            loop.call_soon_threadsafe(scope.cancel)
            if self._interruptible:
                self._interruptible = False  # A second exception could hit a clean-up.
                raise KeyboardInterrupt

        with ExitStack() as stack, scope:
            if sys.platform != "win32":  # pragma: no branch - measured on Linux
                # With a handler of its own, the loop has a wake-up descriptor, which on
                # Windows it always has. Without one, a signal that comes just before the
                # loop waits is not seen before the loop has waited. SIGURG ends nothing.
                loop.add_signal_handler(signal.SIGURG, int)
                stack.callback(loop.remove_signal_handler, signal.SIGURG)

            for number in SIGNALS:
                handler = signal.getsignal(number)
                # Python and asyncio handle SIGINT where it is not ignored.
                if handler is signal.SIG_DFL or (
                    number == signal.SIGINT and callable(handler)
                ):
                    stack.callback(signal.signal, number, handler)
                    signal.signal(number, stop)
            try:
                status = await func()
            except KeyboardInterrupt:
                if not self._received:  # The handler has not raised it.
                    raise

        # Even if *func* has returned by itself: a shell's loop must end after Ctrl-C.
        return 128 + self._received[0] if self._received else status
