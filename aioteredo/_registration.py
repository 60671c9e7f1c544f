"""The lifetime of one subscription: made once, cancelled once, off the event loop.

Each watch has one :class:`Registration`: the watch opens it, and its stream closes it.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Hashable
from contextlib import suppress
from threading import RLock
from typing import Final, TypeVar

from anyio.lowlevel import checkpoint

from ._backend import Backend, BackendLike, SinkOf, Subscribe, Subscription
from ._fork import after_fork_in_child
from ._loop import EventLoop
from ._reaper import reaper
from ._selection import resolve
from ._threads import run_sync

T = TypeVar("T")

# The subscription of each registration that has not been cancelled yet.
_subscriptions: Final[dict[Registration, Subscription]] = {}

# The same registrations, by the event loop whose task opened them.
_registrations_by_loop: Final[dict[Hashable, set[Registration]]] = {}

# Held while either table changes. An event loop or a finalizer never takes this lock: it
# could have to wait for a thread that is in the middle of such a change.
_tables_lock = RLock()


# A subscription can be ended by several callers, and two of them at the same time:
#
# caller                              calls               thread         blocks  raises
# ----------------------------------  ------------------  -------------  ------  ----------
# the task that leaves the block      close()             the loop's     no (1)  any (2)
# the finalizer of the stream         abandon()           any            no      nothing
# a destroyed or interrupted task     abandon()           any            no      nothing
# the reaper                          _cancel_quietly()   its own        yes     nothing
# the thread that opened the watch    _cancel_quietly()   its own        yes     nothing
#   for a task that no longer waits
# the thread that opens or closes     _cancel_orphans()   its own        yes     nothing
#   another watch
# the exit of the interpreter         _cancel_all()       the main one   yes     Ctrl-C
#
# (1) The task awaits a thread, which cancels.
# (2) The exception of the backend's cancel(). If another exception leaves the block, that
#     one is raised, with a note.
#
# All of them end in _cancel(), which takes the lock of the registration. The first caller
# cancels. A later caller returns when the first one has finished.


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
            _cancel_orphans()
            resolved = resolve(backend)
            self.backend = resolved

            subscription = select(resolved)(sink, initial=initial)
            if not callable(getattr(subscription, "cancel", None)):
                raise TypeError(
                    f"subscribe() of {resolved!r} must return an object with a method "
                    f"cancel, not {subscription!r}"
                )
            self._add(subscription)

        try:
            await run_sync(subscribe, on_abandoned=self._cancel_quietly)
        except BaseException as exc:
            await self.close(exc)
            raise

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
                _cancel_orphans()

        try:
            await run_sync(cancel)
        except BaseException as error:
            # The thread was not started, or the task did not wait for its end.
            self.abandon()
            if exc is None or not isinstance(error, Exception):
                raise
            exc.add_note(f"while closing the watch: {error}")

    def abandon(self) -> bool:
        """Have the reaper cancel the subscription. From any thread, even a finalizer.

        :return: whether there is a subscription, and it was not abandoned before
        """
        if self._abandoned or self not in _subscriptions:
            return False
        self._abandoned = True
        reaper.hand_over(self._cancel_quietly)
        return True

    def _cancel_quietly(self) -> None:
        # No caller is left that an exception could be raised to. If the system refuses,
        # the mailbox is closed by now and ignores further callbacks.
        with suppress(Exception):
            self._cancel()

    def _cancel(self) -> None:
        _call_holding(self._lock, self._cancel_if_subscribed)

    def _cancel_if_subscribed(self) -> None:
        subscription = _subscriptions.get(self)
        if subscription is None:
            return
        try:
            subscription.cancel()
        except Exception:
            _call_holding(_tables_lock, self._remove)
            raise
        # KeyboardInterrupt leaves the registration in the tables. It can only come at exit,
        # where the main thread cancels, and _cancel_all() then tries again.
        _call_holding(_tables_lock, self._remove)

    def _add(self, subscription: Subscription) -> None:
        with _tables_lock:
            _subscriptions[self] = subscription
            _registrations_by_loop.setdefault(self._loop.native, set()).add(self)

    def _remove(self) -> None:
        native = self._loop.native
        del _subscriptions[self]
        _registrations_by_loop[native].remove(self)
        if not _registrations_by_loop[native]:
            del _registrations_by_loop[native]


def _call_holding(lock: RLock, call: Callable[[], object]) -> None:
    """Call *call* while this thread holds *lock*, and release it even after Ctrl-C.

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


def _cancel_orphans() -> None:
    """Cancel the registrations of closed event loops, and those the reaper still has.

    A loop that is closed drops the calls that it has not made, so a task can stay suspended
    until the process ends. The collector does not always find the task: anyio's table of
    tasks keeps a task that is inside of a cancel scope. The reaper still has registrations
    if the system has refused it a thread.
    """
    reaper.run_pending()

    with _tables_lock:
        loops = [next(iter(group))._loop for group in _registrations_by_loop.values()]

    for loop in loops:
        if loop.is_closed():
            with _tables_lock:
                orphans = list(_registrations_by_loop.get(loop.native, ()))
            for orphan in orphans:
                orphan.orphaned = True
                orphan._cancel_quietly()


def _cancel_all() -> None:
    """Cancel every registration that is left when the interpreter exits.

    A finalizer would be too late: by then a callback that needs the GIL never returns, and
    cancelling waits for the callback.

    Ctrl-C can interrupt this anywhere. The registration that it interrupts is tried again,
    after all others have had their turn, and the exception is raised at the end.
    """
    interruption: BaseException | None = None
    for _ in range(3):
        for registration in list(_subscriptions):
            try:
                registration._cancel_quietly()
            except BaseException as exc:  # noqa: BLE001 - raised at the end
                interruption = exc

    if interruption is not None:
        raise interruption


# Ctrl-C can end a hook outside of its try block. atexit then goes on with the next hook, so
# the second registration makes up for a first call that was interrupted there.
atexit.register(_cancel_all)
atexit.register(_cancel_all)


def _forget_after_fork() -> None:  # pragma: no cover - it runs in the child
    """Forget the parent's registrations: the parent cancels them."""
    global _tables_lock
    _tables_lock = RLock()
    _subscriptions.clear()
    _registrations_by_loop.clear()


after_fork_in_child(_forget_after_fork)
