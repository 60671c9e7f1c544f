"""One blocking call on a thread of its own, awaited to its end.

Registering, cancelling and GetTeredoPort may block. anyio's worker threads are shared
with the whole program: a service that keeps all of them busy would delay its own close.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from types import TracebackType
from typing import TypeVar

import anyio

from ._loop import current_loop
from ._new_thread import start_thread
from ._outcome import Outcome
from ._parking import ParkingSpot

T = TypeVar("T")


async def run_sync(
    func: Callable[[], T], *, on_abandoned: Callable[[], object] = lambda: None
) -> T:
    """Call *func* on a new thread and return its result, or raise its exception.

    The thread has the caller's :mod:`contextvars` context. A cancel scope waits until
    *func* has returned, and is delivered at the caller's next checkpoint. So does asyncio's
    ``task.cancel()``, which is then raised here, with an exception of *func* as its cause.

    :param on_abandoned: called on the thread after *func* if the task does not wait any
        more, because it was destroyed or interrupted, or because its loop was closed
    :raises BackendError: if the system refuses another thread; *func* is not called
    """
    spot = ParkingSpot(current_loop())
    outcome = Outcome[T]()
    context = copy_context()
    waiting = True

    def work() -> None:
        context.run(outcome.capture, func)
        if not waiting or not spot.wake():
            on_abandoned()

    cancelled_exc_class = anyio.get_cancelled_exc_class()
    cancelled: BaseException | None = None

    with _Shield():
        try:
            # Prepared before the thread starts, so that the task suspends even if the call
            # is faster. asyncio delivers a pending task.cancel() only where it suspends.
            waiter = spot.prepare()

            # Not a daemon: an interpreter that exits waits for the thread, and does not
            # freeze it in the middle of a native call.
            start_thread(work)

            while True:
                try:
                    await waiter
                except cancelled_exc_class as exc:
                    # A shield does not hold off asyncio's task.cancel(). What the call
                    # registers can be taken back only when the call has returned.
                    cancelled = exc
                waiter = spot.prepare()
                if outcome.finished:
                    break
        except BaseException:  # destroyed, interrupted, or without a thread
            waiting = False
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
        del cancelled  # else this frame and the exception's traceback are a cycle


class _Shield:
    """A shielded cancel scope that a destroyed coroutine can leave as well.

    The collector closes a coroutine outside of its task, where a cancel scope refuses to
    be left. A coroutine that its own task closes leaves the scope like any other, or the
    task would stay shielded.
    """

    def __enter__(self) -> None:
        self._scope = anyio.CancelScope(shield=True)
        self._scope.__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        refusals = (RuntimeError,) if exc_type is GeneratorExit else ()
        with suppress(*refusals):
            self._scope.__exit__(exc_type, exc_value, traceback)
