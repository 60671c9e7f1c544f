"""The lifetime of one subscription: made once, cancelled once, and no event loop waits.

Each watch has one :class:`Registration`: the watch opens it, and its stream closes it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import RLock
from typing import Final, TypeVar

from anyio.lowlevel import checkpoint

from ._backend import Backend, BackendLike, SinkOf, Subscribe
from ._checks import check_subscription
from ._locks import call_holding, try_call_holding
from ._loop import EventLoop
from ._parking import ParkingSpot
from ._reaper import reaper
from ._registry import registry
from ._selection import resolve, resolve_if_loaded
from ._shared_subscription import Attempt, SharedSubscribe, SharedSubscription
from ._threads import Shield, run_sync

T = TypeVar("T")

# The subscription of each registration that has not been cancelled yet.
_subscriptions: Final = registry.subscriptions


# A subscription can be ended by several callers, and two of them at the same time:
#
# caller                              calls               thread         blocks  raises
# ----------------------------------  ------------------  -------------  ------  ----------
# the task that leaves the block      close()             the loop's     no (1)  any (2)
# the finalizer of the stream         abandon()           any            no      nothing
# a destroyed or interrupted task     abandon()           any            no      nothing
# the reaper                          cancel_quietly()    its own        yes     nothing
# the thread that opened the watch    cancel_quietly()    its own        yes     nothing
#   for a task that no longer waits
# the thread that opens or closes     cancel_quietly()    its own        yes     nothing
#   another watch: cancel_orphans()
# the exit of the interpreter:        cancel_quietly()    the main one   yes     Ctrl-C
#   cancel_all()
#
# (1) The task awaits a thread, which cancels. It needs no thread if the subscription is a
#     shared one that other watches go on to use: see _try_leave().
# (2) The exception of the backend's cancel(). If another exception leaves the block, that
#     one is raised, with a note.
#
# All of them hold the lock of the registration while they cancel. The first caller cancels.
# A later caller returns when the first one has finished.


class Registration:
    """A sink's registration with a backend, for a task of *loop*."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._lock = RLock()  # held for the whole native call
        self._abandoned = False

        self.backend: Backend | None = None
        """The backend, or None until the watch has begun to open."""

        self.orphaned = False
        """Whether it was cancelled because its event loop had been closed."""

    async def open(
        self,
        backend: BackendLike | None,
        select: Callable[[Backend], Subscribe[T]],
        sink: SinkOf[T],
        initial: bool,
    ) -> None:
        """Subscribe *sink*.

        If this raises, a subscription that was made has been cancelled, or will be soon
        by another thread.

        :param select: returns the method of a backend that subscribes *sink*
        :raises BackendError: if the system refuses, or no thread can be started
        :raises BackendUnavailableError: if the backend cannot work here
        :raises TypeError: if the backend's ``subscribe`` returns no subscription
        """
        # A cancellation that is already pending is raised here, before there is anything
        # to take back. asyncio delivers its own task.cancel() only where a task suspends.
        await checkpoint()

        def subscribe() -> None:
            registry.cancel_orphans()
            resolved = resolve(backend)
            self.backend = resolved

            method = select(resolved)
            subscription = method(sink, initial=initial)
            check_subscription(subscription, method)
            with registry.lock:
                registry.add(self, self._loop, subscription)

        try:
            if not await self._join(backend, select, sink, initial):
                await run_sync(subscribe, on_abandoned=self.cancel_quietly)
        except BaseException as exc:
            await self.close(exc)
            raise

    async def _join(
        self,
        backend: BackendLike | None,
        select: Callable[[Backend], Subscribe[T]],
        sink: SinkOf[T],
        initial: bool,
    ) -> bool:
        """Join a shared registration that is open, or that another thread opens now.

        :return: False if this task has to call the backend on a thread
        :raises Exception: a copy of the error, if the other thread has got one
        """
        loaded = resolve_if_loaded(backend)
        subscribe = None if loaded is None else select(loaded)
        if not isinstance(subscribe, SharedSubscribe):
            return False
        self.backend = loaded
        subscription = SharedSubscription(subscribe, sink)

        spot = ParkingSpot(self._loop)
        while True:
            waiter = spot.prepare()
            attempt = self._try_join(subscription, initial, spot.wake)
            if attempt is not Attempt.MUST_WAIT:
                return attempt is Attempt.JOINED

            # The task needs no thread, because all clients of a server may connect at once.
            try:
                await waiter
            finally:
                subscription.stop_waiting(spot.wake)
            subscription.check_awaited()

    def _try_join(
        self,
        subscription: SharedSubscription[T],
        initial: bool,
        wake: Callable[[], object],
    ) -> Attempt:
        def join() -> Attempt:
            # Added first, so that the reaper cancels if Ctrl-C interrupts the next call.
            registry.add(self, self._loop, subscription)
            attempt = subscription.try_join(initial, wake)
            if attempt is not Attempt.JOINED:
                self._remove()
            return attempt

        return self._try_call_holding_both_locks(join, Attempt.MUST_BLOCK)

    async def close(self, exc: BaseException | None) -> None:
        """Cancel the subscription. After this returns, no push runs any more.

        A later caller waits for the first one and raises nothing.

        :param exc: the exception that leaves the block, or None. If the backend refuses to
            cancel, the exception gets a note about that. A GeneratorExit means that the
            task is being destroyed and must not await, so the reaper cancels later
        :raises Exception: of the backend, if it refuses and *exc* is None
        """
        if isinstance(exc, GeneratorExit):
            self.abandon()
            return
        if self not in _subscriptions:
            return

        def cancel() -> None:
            try:
                self._cancel()
            finally:
                registry.cancel_orphans()

        try:
            if self._try_leave():
                # Other tasks get their turn, and asyncio delivers a pending task.cancel(),
                # as if a thread had cancelled.
                with Shield():
                    await checkpoint()
            else:
                await run_sync(cancel)
        except BaseException as error:
            # The thread was not started, or the task did not wait for its end.
            self.abandon()
            if exc is None or not isinstance(error, Exception):
                raise
            exc.add_note(f"while closing the watch: {error}")

    def _try_leave(self) -> bool:
        """Leave a shared registration that others use, and return True. Never blocks.

        If there is something to wait for, this changes nothing and returns False.
        """

        def leave() -> bool:
            subscription = _subscriptions.get(self)
            if not isinstance(subscription, SharedSubscription):
                return False
            if not subscription.try_cancel():
                return False
            self._remove()
            return True

        return self._try_call_holding_both_locks(leave, False)

    def _try_call_holding_both_locks(self, call: Callable[[], T], otherwise: T) -> T:
        if registry.has_orphans():
            return otherwise

        # The exit of the interpreter may come while a daemon thread joins. It waits for the
        # lock of the registration, and then finds the subscription that it has to cancel.
        return try_call_holding(
            self._lock,
            lambda: try_call_holding(registry.lock, call, otherwise),
            otherwise,
        )

    def abandon(self) -> bool:
        """Have the reaper cancel the subscription. From any thread, even a finalizer.

        :return: whether there is a subscription, and it was not abandoned before
        """
        if self._abandoned or self not in _subscriptions:
            return False
        self._abandoned = True
        reaper.hand_over(self.cancel_quietly)
        return True

    def cancel_quietly(self) -> None:
        """Cancel the subscription, if it is not cancelled yet. May block."""
        # No caller is left that an exception could be raised to. If the system refuses,
        # the mailbox is closed by now and ignores further callbacks.
        with suppress(Exception):
            self._cancel()

    def _cancel(self) -> None:
        call_holding(self._lock, self._cancel_if_subscribed)

    def _cancel_if_subscribed(self) -> None:
        subscription = _subscriptions.get(self)
        if subscription is None:
            return
        try:
            subscription.cancel()
        except Exception:
            call_holding(registry.lock, self._remove)
            raise
        # KeyboardInterrupt leaves the registration in the table. It can only come at exit,
        # where the main thread cancels, and cancel_all() then tries again.
        call_holding(registry.lock, self._remove)

    def _remove(self) -> None:
        registry.remove(self, self._loop)
