"""The lifetime of one subscription: made once, cancelled once, off the event loop."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Hashable
from contextlib import suppress
from threading import RLock
from typing import Final

from anyio.lowlevel import checkpoint

from ._backend import Backend, BackendLike, Sink, Subscription
from ._fork import after_fork_in_child
from ._loop import EventLoop
from ._reaper import reaper
from ._selection import resolve
from ._threads import run_sync

# A subscription can be cancelled from four places:
#
# * the task that leaves the block, through a thread of its own: aclose()
# * the reaper, when nobody is left to wait: abandon(), called by the stream's finalizer,
#   by a task that is destroyed or interrupted, or that could get no thread
# * the thread that opens or closes another watch, for what the reaper could not start a
#   thread for, and for registrations whose event loop has been closed
# * the interpreter's exit, by atexit. A finalizer would be too late: by then a callback
#   that needs the GIL never returns, and cancelling waits for it.
#
# All of them call cancel(), which takes the registration's lock: the first caller cancels,
# later callers return once it has finished.

_live: Final[dict[Registration, Subscription]] = {}
_by_loop: Final[dict[Hashable, set[Registration]]] = {}
_tables_lock = RLock()  # for changes of both; never taken by a finalizer or in a loop


class Registration:
    """A sink's registration with a backend, for a task of *loop*."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._lock = RLock()  # held for the whole native call
        self._abandoned = False
        self.backend: Backend | None = None  # known once the watch is opening
        self.left_behind = False  # cancelled because its event loop had been closed

    async def open(self, backend: BackendLike | None, sink: Sink, initial: bool) -> None:
        """Subscribe *sink*. If this raises, it isn't subscribed, or not for long.

        :raises BackendError: if the system refuses, or no thread can be started
        :raises BackendUnavailableError: if the backend cannot work here
        :raises TypeError: if the backend's ``subscribe`` returns no subscription
        """
        # A cancellation that is already pending is raised here, before there is anything
        # to take back. asyncio delivers its own task.cancel() only where a task suspends.
        await checkpoint()

        def subscribe() -> None:
            _cancel_left_behind()
            self.backend = resolved = resolve(backend)
            subscription = resolved.subscribe(sink, initial=initial)
            if not callable(getattr(subscription, "cancel", None)):
                raise TypeError(
                    f"subscribe() of {resolved!r} must return an object with a method "
                    f"cancel, not {subscription!r}"
                )
            self._add(subscription)

        try:
            await run_sync(subscribe, on_abandoned=self._cancel_quietly)
        except BaseException as exc:
            await self.leave(exc)
            raise

    async def leave(self, exc: BaseException | None) -> None:
        """Cancel the subscription because of *exc*, or because the block has ended.

        :raises Exception: of the backend, if it refuses and *exc* is None; else *exc*
            gets a note
        """
        if isinstance(exc, GeneratorExit):  # a task that is destroyed must not await
            self.abandon()
            return
        try:
            await self.aclose()
        except Exception as error:
            if exc is None:
                raise
            exc.add_note(f"while closing the watch: {error}")

    async def aclose(self) -> None:
        """Cancel the subscription. After this returns, no push runs any more.

        :raises Exception: of the backend, if it refuses, to the first caller
        """

        def cancel() -> None:
            try:
                self.cancel()
            finally:
                _cancel_left_behind()

        if self in _live:
            try:
                await run_sync(cancel)
            except BaseException:
                self.abandon()  # in case that the call was not made, or was given up
                raise

    def cancel(self) -> None:
        """Cancel the subscription, or wait until another thread has done so. Blocks.

        :raises Exception: of the backend, if it refuses, to the first caller
        """
        _call_holding(self._lock, self._cancel_if_live)

    def _cancel_if_live(self) -> None:
        subscription = _live.get(self)
        if subscription is None:
            return
        try:
            subscription.cancel()
        except Exception:
            _call_holding(_tables_lock, self._remove)
            raise
        # KeyboardInterrupt leaves the registration in the table: at exit, cancelling runs
        # on the main thread, and is tried again.
        _call_holding(_tables_lock, self._remove)

    def abandon(self) -> bool:
        """Have the reaper cancel the subscription. From any thread, even a finalizer.

        :return: whether there is a subscription, and it was not abandoned before
        """
        if self._abandoned or self not in _live:
            return False
        self._abandoned = True
        reaper.hand_over(self._cancel_quietly)
        return True

    def _cancel_quietly(self) -> None:
        with suppress(Exception):  # nobody waits for it, and late callbacks reach nobody
            self.cancel()

    def _add(self, subscription: Subscription) -> None:
        with _tables_lock:
            _live[self] = subscription
            _by_loop.setdefault(self._loop.native, set()).add(self)

    def _remove(self) -> None:
        native = self._loop.native
        del _live[self]
        _by_loop[native].remove(self)
        if not _by_loop[native]:
            del _by_loop[native]


def _call_holding(lock: RLock, call: Callable[[], object]) -> None:
    """Call *call* while this thread holds *lock*, even if Ctrl-C strikes.

    From Python 3.14 on, Ctrl-C can be raised after ``with lock`` has acquired the lock and
    before its block begins. The lock would stay held, and the next attempt to cancel at
    the interpreter's exit would wait for it until the process is killed.
    """
    try:
        lock.acquire()
        call()
    finally:
        try:  # noqa: SIM105 - Ctrl-C could be raised inside of suppress()
            lock.release()
        except RuntimeError:  # interrupted before this thread acquired the lock
            pass


def _cancel_left_behind() -> None:
    """Cancel what could get no thread, and what belongs to event loops that are closed.

    A loop that is closed drops the calls that it has not made, so a task can stay suspended
    for good. The collector does not always find it: anyio's table of tasks keeps a task
    that is inside of a cancel scope.
    """
    reaper.run_pending()

    with _tables_lock:
        loops = [next(iter(registrations))._loop for registrations in _by_loop.values()]
    for loop in loops:
        if loop.is_closed():
            with _tables_lock:
                registrations = list(_by_loop.get(loop.native, ()))
            for registration in registrations:
                registration.left_behind = True
                registration._cancel_quietly()


def _cancel_all() -> None:
    """Cancel every registration that is left when the interpreter exits.

    Ctrl-C can interrupt this anywhere. The registration that it interrupts is tried again,
    after all others have had their turn, and the exception is raised at the end.
    """
    interruption: BaseException | None = None
    for _ in range(3):
        for registration in list(_live):
            try:
                registration._cancel_quietly()
            except BaseException as exc:  # noqa: BLE001 - raised at the end
                interruption = exc
    if interruption is not None:
        raise interruption


# atexit goes on with the next hook after one that raises. So a second hook does what an
# interruption outside of the try block of the first has kept it from.
atexit.register(_cancel_all)
atexit.register(_cancel_all)


def _forget_after_fork() -> None:  # pragma: no cover - it runs in the child
    """Forget the parent's registrations: the parent cancels them."""
    global _tables_lock
    _tables_lock = RLock()
    _live.clear()
    _by_loop.clear()


after_fork_in_child(_forget_after_fork)
