"""One registration with a backend that pushes to the sinks of any number of watches."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextvars import Context
from threading import RLock
from typing import Generic, TypeVar

from ._backend import Subscribe, Subscription
from ._checks import check_subscription
from ._fan_out import FanOut, copy_of
from ._fork import forget_after_fork
from ._locks import call_holding, try_call_holding

T = TypeVar("T")


class SharedRegistration(Generic[T]):
    """A registration, from the watch that opens it to the last one that leaves it.

    If the backend fails, the watches that are opened after that make another registration.
    """

    fan_out: FanOut[T]
    """The sink that is registered with the backend."""

    error: Exception | None
    """A copy of the exception with which the backend has refused to register, or None."""

    subscription: Subscription | None
    """The subscription to the backend. It is set once.

    An event loop reads it without the gate. A loop that does not see it yet finds the gate
    closed and waits, or leaves the call to a thread.
    """

    users: set[Hashable]
    """The users that have joined or are about to join, and have not left."""

    def __init__(self) -> None:
        self.fan_out = FanOut()
        self.error = None
        self.forget()
        forget_after_fork(self)

    def forget(self) -> None:
        """Forget the users and the subscription, as the child of a fork must."""
        self.fan_out.forget()
        self.subscription = None
        self.users = set()
        self._waiting: dict[Callable[[], object], None] = {}  # an ordered set
        self._gate = RLock()

    @property
    def failed(self) -> bool:
        """Whether the backend has refused to register, or has failed since."""
        return self.error is not None or self.fan_out.failure is not None

    def is_ready(self, initial: bool) -> bool:
        """Return whether a sink can be added without a call of the backend."""
        known = self.fan_out.newest is not None
        return self.subscription is not None and (known or not initial)

    def open(self, subscribe: Subscribe[T], get: Callable[[], T], initial: bool) -> None:
        """Make this ready for a sink, unless another thread has done so. May block.

        :raises Exception: of *subscribe* or *get*; a copy if another thread has called
            *subscribe*
        """
        call_holding(self._gate, lambda: self._open(subscribe, get, initial))

    def _open(self, subscribe: Subscribe[T], get: Callable[[], T], initial: bool) -> None:
        if self.error is not None:
            # Another attempt would fail as well, and every thread that waits at the gate
            # would make one.
            raise copy_of(self.error)

        if self.subscription is None:
            try:
                # With *initial* of the first watch. A watch that asks for no initial event
                # must not fail because the value cannot be read.
                #
                # In an empty context, because the backend may keep the context of its
                # caller. The first watch's variables would live as long as the last watch.
                subscription = Context().run(subscribe, self.fan_out, initial=initial)
                check_subscription(subscription, subscribe)
            except Exception as error:
                # The traceback of the exception itself refers to this object.
                self.error = copy_of(error)
                raise
            self.subscription = subscription

        if initial and self.fan_out.newest is None:
            self.fan_out.learn(get())

    # The lock of the SharedSubscribe is held while these are called.

    def wake_when_open(self, wake: Callable[[], object]) -> None:
        """Have *wake* called when :meth:`open` has returned on another thread."""
        self._waiting[wake] = None

    def is_opening(self) -> bool:
        """Return whether another thread is in :meth:`open`. Never blocks."""
        return try_call_holding(self._gate, lambda: False, otherwise=True)

    def take_waiting(self) -> list[Callable[[], object]]:
        """Return the functions that wake the tasks that wait, and forget them."""
        waiting = self._waiting
        self._waiting = {}
        return list(waiting)

    def stop_waiting(self, wake: Callable[[], object]) -> None:
        """Forget *wake*, if it is still there. From any thread; takes no lock."""
        # pop() is atomic, and so is the copy that take_waiting() returns.
        self._waiting.pop(wake, None)
