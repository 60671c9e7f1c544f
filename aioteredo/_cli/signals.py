"""The end of a waiting command by a signal: alike for each command and platform."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from types import FrameType
from typing import Final

import anyio

# Each signal that ends a process by default and does not stand for a fault of the process,
# as SIGSEGV and SIGABRT do. On Windows, SIGBREAK stands for Ctrl-Break, for a console that
# is closed, and for the end of a session. SIGPOLL is Linux's name for SIGIO; macOS ignores
# SIGIO by default.
_NAMES: Final = (
    *("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK", "SIGUSR1", "SIGUSR2"),
    *("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGXCPU", "SIGPOLL", "SIGPWR", "SIGSTKFLT"),
)
if sys.platform == "linux":  # pragma: no branch - measured on Linux
    # A range, because only two of the realtime signals have names.
    _REAL_TIME: Final = range(signal.SIGRTMIN, signal.SIGRTMAX + 1)
else:  # pragma: no cover - measured on Linux
    _REAL_TIME: Final = range(0)
SIGNALS: Final[tuple[int, ...]] = (
    *(signal.Signals[name] for name in _NAMES if name in signal.Signals.__members__),
    *_REAL_TIME,
)


async def run_until_signal(func: Callable[[], Awaitable[int]]) -> int:
    """Await *func* in the main thread's asyncio loop, and cancel it when a signal comes.

    A signal that this process ignores stays ignored: ``nohup`` and a shell's background
    jobs depend on that. A signal with a handler of the program keeps that handler.

    :return: the result of *func*, or 128 plus the signal's number, as shells count it
    """
    loop = asyncio.get_running_loop()
    scope = anyio.CancelScope()
    received: list[int] = []
    status = 0

    # The handler only asks the loop to cancel. An exception from the handler could hit the
    # event loop itself, or the code that is ending CMD.
    def cancel(number: int, _: FrameType | None) -> None:
        received.append(number)
        loop.call_soon_threadsafe(scope.cancel)

    with ExitStack() as stack, scope:
        if sys.platform != "win32":  # pragma: no branch - measured on Linux
            # Give the loop a handler, for a signal that ends nothing, so that the loop has
            # a wake-up descriptor. Windows' loops always have one.
            add_loop_handler(loop, signal.SIGURG, int)
            stack.callback(loop.remove_signal_handler, signal.SIGURG)
        else:  # pragma: no cover - measured on Linux
            suppress_full_buffer_warning()

        # signal.signal() also works on Windows, where loop.add_signal_handler() does not.
        for number in SIGNALS:
            handler = signal.getsignal(number)
            # Python and asyncio install a handler for SIGINT unless SIGINT is ignored.
            if handler is signal.SIG_DFL or (number == signal.SIGINT and callable(handler)):
                stack.callback(signal.signal, number, handler)
                signal.signal(number, cancel)

        status = await func()

    # The signal counts even if *func* has returned by itself: a shell's loop must end
    # after Ctrl-C.
    return 128 + received[0] if received else status


def suppress_full_buffer_warning() -> None:
    """Keep Python from warning that the wake-up descriptor's buffer is full.

    If many signals come while the loop is busy, the buffer is full. The loop wakes up and
    each handler runs all the same, but Python would warn on stderr. If the reader of stderr
    has stalled, the warning would block the command.
    """
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)


if sys.platform != "win32":  # pragma: no branch - measured on Linux

    def add_loop_handler(
        loop: asyncio.AbstractEventLoop, number: int, callback: Callable[[], object]
    ) -> None:
        """Give *loop* a handler of its own for a signal, and so a wake-up descriptor.

        Without a wake-up descriptor, a signal that comes just before the loop sleeps is
        handled only after the sleep.
        """
        loop.add_signal_handler(number, callback)

        # Each call of add_signal_handler() switches the warning on again.
        suppress_full_buffer_warning()
