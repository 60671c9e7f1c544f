"""One blocking call on a thread of its own, awaited to its end.

Registering, cancelling and GetTeredoPort may block, and CancelMibChangeNotify2 does so
until the callbacks in flight have returned. So they run off the loop, on a fresh thread
each: anyio's 40 worker threads are shared with the whole program, and a service that
keeps them busy would delay its own close. A thread costs 60 µs, twice per watch. The
loop does not join it: all that is left of it by then is its own end.

The wait is shielded, as that of ``anyio.to_thread.run_sync`` is: when it ends, the call
has returned, and what it registered can be taken back. But a shield does not hold off
``task.cancel()``; such a cancellation is kept and raised again at the end, as
``asyncio.Condition.wait`` does. Only an exception that is no cancellation ends the wait
early: GeneratorExit, which destroys the task, or trio's KeyboardInterrupt. The thread
then finds nobody waiting, or finds the loop closed, and undoes what it did by itself: a
destroyed task can be out of the garbage collector's reach, as anyio's table of tasks
holds a cancel scope that holds its task.

The threads are no daemons, so that an interpreter that exits waits for them instead of
freezing them in the middle of a native call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from threading import Thread
from typing import Generic, TypeVar

import anyio

from ._loop import current_loop

T = TypeVar("T")


class _Outcome(Generic[T]):
    """Either the value of a call or its exception."""

    __slots__ = ("_error", "_value")

    def capture(self, func: Callable[[], T]) -> None:
        self._error: BaseException | None = None
        try:
            self._value = func()
        except BaseException as error:  # noqa: BLE001 - raised by unwrap
            self._error = error

    def unwrap(self) -> T:
        if self._error is None:
            return self._value
        try:
            raise self._error
        finally:
            del self._error  # no cycle of the exception with its own traceback


def _nothing() -> None:
    pass


async def run_sync(func: Callable[[], T], *, unheard: Callable[[], object] = _nothing) -> T:
    """Call *func* on a thread of its own, return what it returns, raise what it raises.

    Cancelled, it still waits for *func* to return, then raises the cancellation.

    :param unheard: called on the thread after *func*, if nobody waits there any more
        because the task was destroyed or its loop closed
    """
    done, outcome = anyio.Event(), _Outcome[T]()
    tell = current_loop().threadsafe(done.set)
    waiting = True

    def work() -> None:
        outcome.capture(func)
        if not waiting or not tell():
            unheard()

    cancelled_exc_class = anyio.get_cancelled_exc_class()
    cancelled: BaseException | None = None
    with ExitStack() as stack:
        stack.enter_context(anyio.CancelScope(shield=True))
        try:
            Thread(target=work, name="aioteredo", daemon=False).start()
            while not done.is_set():
                try:
                    await done.wait()
                except cancelled_exc_class as exc:
                    cancelled = exc
        except BaseException as exc:
            waiting = False
            if isinstance(exc, GeneratorExit):
                stack.pop_all()  # the task is gone, and the scope's exit would object
            raise
    if cancelled is None:
        return outcome.unwrap()
    try:
        outcome.unwrap()
    except BaseException as error:
        raise cancelled from error
    else:
        raise cancelled
    finally:
        del cancelled  # no cycle here either
