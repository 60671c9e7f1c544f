"""The subscriptions of any number of watches that share a registration with a backend.

``share()`` replaces the methods of a backend by these.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from threading import RLock
from typing import Generic, TypeVar

from ._backend import SinkOf, Subscribe, Subscription
from ._fan_out import copy_of
from ._fork import forget_after_fork
from ._locks import call_holding, try_call_holding
from ._reaper import reaper
from ._shared_registration import SharedRegistration

T = TypeVar("T")

# The locks, the state that each of them guards, and the calls of a thread that holds it:
#
# lock                  guards                         a thread that holds it
# --------------------  -----------------------------  -----------------------------------
# SharedSubscribe.lock  the current registration, its  calls nothing that waits
#                       users, and the tasks that
#                       wait for it
# SharedRegistration    the calls that register and    waits for the backend. A push never
#   ._gate              read a value                   takes this lock, so the backend may
#                                                      wait for a push
# FanOut._lock          the sinks and the failure      pushes to all sinks, or adds or
#                                                      removes one; makes no native call
#
# A thread that holds the first lock may take one of the others. An event loop takes a lock
# only if it is free.
#
# Without the GIL, the locks make the changes visible to the next thread that takes them.
# The attributes that are read without their lock are references that are set once.


class Attempt(Enum):
    """The result of an attempt to join a registration without blocking."""

    JOINED = auto()
    """The sink has joined."""

    MUST_WAIT = auto()
    """Another thread is opening the registration. Nothing has changed."""

    MUST_BLOCK = auto()
    """The backend has to be called, or a lock is not free. Nothing has changed."""


class SharedSubscribe(Generic[T]):
    """A method that subscribes to a backend, for any number of sinks at one registration.

    :param subscribe: the method of the inner backend
    :param get: returns the present value, for the initial push of a later sink if no
        notification has brought a value
    """

    def __init__(self, subscribe: Subscribe[T], get: Callable[[], T]) -> None:
        self._subscribe = subscribe
        self._get = get
        self.forget()
        forget_after_fork(self)

    def forget(self) -> None:
        """Forget the registration, as the child of a fork must."""
        self.lock = RLock()
        self.current: SharedRegistration[T] | None = None

    def __call__(self, sink: SinkOf[T], *, initial: bool) -> SharedSubscription[T]:
        """Subscribe *sink*. May block.

        :raises Exception: of the inner backend. Each sink that has waited for the same
            attempt to register gets a copy
        """
        subscription = SharedSubscription(self, sink)
        try:
            subscription.join(self._subscribe, self._get, initial)
        except BaseException as error:
            try:
                subscription.cancel()
            except Exception as refused:  # noqa: BLE001 - the first error is raised
                error.add_note(f"while cancelling: {refused}")
            raise
        return subscription


class SharedSubscription(Generic[T]):
    """The subscription of one sink."""

    __slots__ = ("__weakref__", "_inner", "_registration", "_shared", "_sink")

    def __init__(self, shared: SharedSubscribe[T], sink: SinkOf[T]) -> None:
        self._shared = shared
        self._sink = sink
        self._registration: SharedRegistration[T] | None = None
        self._inner: Subscription | None = None  # set if this one has to cancel it

    def join(self, subscribe: Subscribe[T], get: Callable[[], T], initial: bool) -> None:
        """Join the registration, or make one. May block.

        If this raises, :meth:`cancel` has to be called.
        """
        registration = call_holding(self._shared.lock, self._enter)
        if registration.is_ready(initial):
            registration.fan_out.add(self, self._sink, initial)
            return

        try:
            registration.open(subscribe, get, initial)
            registration.fan_out.add(self, self._sink, initial)
        finally:
            # After the gate was released. A task that found it closed is in the list.
            waiting = call_holding(self._shared.lock, registration.take_waiting)

            # No lock is held, so that the tasks find them all free.
            for wake in waiting:
                try:
                    wake()
                except Exception:  # noqa: BLE001 - such as a MemoryError
                    # Raised further, it would keep the other tasks asleep. If nobody tried
                    # again, this task would never wake up.
                    reaper.hand_over(wake)

    def _enter(self) -> SharedRegistration[T]:
        shared = self._shared
        if shared.current is None or shared.current.failed:
            # A registration that has failed is left to its users. The last one cancels it.
            shared.current = SharedRegistration()

        # The new watch is a user before the registration is open. Otherwise another watch
        # that is closed in this time could be the last user, and would cancel the
        # registration that the new watch is about to join.
        self._registration = shared.current
        self._registration.users.add(self)
        return self._registration

    def try_join(self, initial: bool, wake: Callable[[], object]) -> Attempt:
        """Join a registration that is open. Never blocks.

        If this raises, :meth:`cancel` has to be called.

        :param wake: called after MUST_WAIT, when the other thread has finished
        """
        return try_call_holding(
            self._shared.lock, lambda: self._try_join(initial, wake), Attempt.MUST_BLOCK
        )

    def _try_join(self, initial: bool, wake: Callable[[], object]) -> Attempt:
        registration = self._shared.current
        if registration is None or registration.failed:
            return Attempt.MUST_BLOCK

        self._registration = registration
        if not registration.is_ready(initial):
            if not registration.is_opening():
                return Attempt.MUST_BLOCK
            registration.wake_when_open(wake)
            return Attempt.MUST_WAIT

        registration.users.add(self)
        if registration.fan_out.try_add(self, self._sink, initial):
            return Attempt.JOINED
        registration.users.discard(self)
        return Attempt.MUST_BLOCK

    def stop_waiting(self, wake: Callable[[], object]) -> None:
        """Forget *wake* of an attempt that had to wait. Never blocks.

        Otherwise a backend that hangs would keep that of each task that was cancelled.
        """
        assert self._registration is not None
        self._registration.stop_waiting(wake)

    def check_awaited(self) -> None:
        """Check the registration that an attempt had to wait for.

        :raises Exception: a copy of the error with which the backend has refused it
        """
        if self._registration is not None and self._registration.error is not None:
            raise copy_of(self._registration.error)

    def cancel(self) -> None:
        """Leave the registration. The last one to leave cancels it with the backend.

        Can be called again if an exception of a signal handler interrupted the call.

        :raises BackendError: if this is the last one, and the system refuses
        """
        if self._registration is None:
            return
        self._registration.fan_out.remove(self)
        call_holding(self._shared.lock, self._leave)

        # No lock is held: the system waits for a push that is running, and the push may
        # wait for a lock.
        if self._inner is not None:
            self._inner.cancel()

    def _leave(self) -> None:
        # Each step can be repeated, because Ctrl-C can interrupt the exit of the process.
        registration = self._registration
        if registration is None or self not in registration.users:
            return

        if len(registration.users) == 1:
            # In one step with the count, so that no watch joins a registration that is
            # about to be cancelled. A watch that opens now makes another one, which may
            # exist for a moment beside this one.
            self._inner = registration.subscription
            if self._shared.current is registration:
                self._shared.current = None
        registration.users.discard(self)

    def try_cancel(self) -> bool:
        """Leave the registration if another one stays, and return True. Never blocks.

        If there is something to wait for, this changes nothing and returns False.
        """
        return try_call_holding(self._shared.lock, self._try_leave, otherwise=False)

    def _try_leave(self) -> bool:
        registration = self._registration
        if registration is None or registration.users <= {self}:
            return False
        if not registration.fan_out.try_remove(self):
            return False
        registration.users.discard(self)
        return True
