"""One blocking call on a thread of its own, awaited to its end.

Registering, cancelling and asking for the port may block, so each is called here.
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


# Not ``anyio.to_thread.run_sync``: the whole program shares anyio's worker threads. A
# service that keeps all of them busy could not close its watch.
async def run_sync(
    func: Callable[[], T], *, on_abandoned: Callable[[], object] = lambda: None
) -> T:
    """Call *func* on a new thread and return its result, or raise its exception.

    The thread has the caller's :mod:`contextvars` context. A cancellation takes effect when
    *func* has returned: the one of a cancel scope at the caller's next checkpoint,
    asyncio's ``task.cancel()`` here, with an exception of *func* as its cause.

    :param on_abandoned: called on the thread after *func* if the task no longer waits,
        because it was destroyed or interrupted, or because its loop was closed
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

    with Shield():
        try:
            # Prepared before the thread starts, so that the task suspends here even if the
            # call has returned by then. asyncio delivers a pending task.cancel() only where
            # the task suspends, and would otherwise deliver it after this function.
            waiter = spot.prepare()

            # Not a daemon thread: the interpreter would freeze it at exit, perhaps in the
            # middle of a native call.
            start_thread(work)

            while True:
                try:
                    await waiter
                except cancelled_exc_class as exc:
                    # A shield does not hold off asyncio's task.cancel(). Go on waiting: a
                    # registration can be cancelled only when the call that makes it has
                    # returned.
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
        del cancelled  # Its traceback holds this frame, so the two would be a cycle.


class Shield:
    """A shielded cancel scope that a destroyed coroutine can leave as well.

    The collector closes a coroutine outside of its task. A cancel scope then refuses to be
    left, with a RuntimeError that is suppressed here. The scope is always asked, because a
    task can also close a coroutine of its own, and would stay shielded otherwise.
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
