"""The client behind SimulatedBackend: its subscriptions and the thread that notifies.

It notifies as Windows does: on a separate thread, one call at a time. It does not imitate
native misbehaviour, such as callbacks that overlap.
"""

from __future__ import annotations

import errno
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .._backend import AddressSink, Sink, SinkOf
from .._errors import BackendError, TeredoError
from .._events import NotificationType
from .._fork import after_fork_in_child
from ._draining import DrainWaits
from ._simulated_state import SimulatedState
from ._simulated_subscription import SimulatedSubscription, Topic, simulated_failure
from ._turns import Turns

if TYPE_CHECKING:
    from ._notifying_thread import NotifyingThread

T = TypeVar("T")


class SimulatedClient:
    """A Teredo client that pushes each of its changes to its subscriptions.

    While there is a subscription, there is a notifying thread, and every function that
    changes the client runs on it. So all subscriptions get the changes in one order.

    :param port: the port at the beginning, or None
    :param seed: the seed of the ports of :meth:`SimulatedState.restart`
    :param restart_every: seconds without a control after which the client restarts
    """

    state: SimulatedState
    """The port and the addresses."""

    subscriptions: dict[SimulatedSubscription, None]
    """The registered subscriptions, in the order of their registration."""

    drain_waits: DrainWaits
    """The tasks that wait until the consumers have handled their events."""

    next_subscribe_error: TeredoError | None
    """The error that the next registration raises."""

    next_cancel_error: BackendError | None
    """The error that the next cancellation raises."""

    def __init__(
        self, port: int | None, seed: int | None, restart_every: float | None
    ) -> None:
        self.state = SimulatedState(port, seed, notify=self._push)
        self.next_subscribe_error = None
        self.next_cancel_error = None
        self._restart_every = restart_every
        self.reset()
        _clients.add(self)

    def reset(self) -> None:
        """Forget the subscriptions, the thread and the calls of other threads."""
        self.subscriptions = {}
        self.drain_waits = DrainWaits()
        self._turns = Turns()
        self._thread: NotifyingThread | None = None

    # Called on any thread

    def subscribe(self, sink: Sink, *, initial: bool) -> SimulatedSubscription:
        """Register *sink*, and push the port if that is requested."""

        def push_first() -> None:
            if initial:
                sink.push(self.state.port, NotificationType.INITIAL)

        return self._subscribe(sink, Topic.PORT, push_first)

    def subscribe_addresses(
        self, sink: AddressSink, *, initial: bool
    ) -> SimulatedSubscription:
        """Register *sink*, and push the addresses if that is requested."""

        def push_first() -> None:
            if initial:
                sink.push(self.state.addresses, NotificationType.INITIAL)

        return self._subscribe(sink, Topic.ADDRESSES, push_first)

    def subscribe_stable_addresses(self, sink: AddressSink) -> SimulatedSubscription:
        """Register *sink*, and push the addresses as soon as they are stable."""

        def push_first() -> None:
            if self.state.addresses_are_stable:
                sink.push(self.state.addresses, NotificationType.INITIAL)

        return self._subscribe(sink, Topic.STABLE_ADDRESSES, push_first)

    def _subscribe(
        self, sink: SinkOf[Any], topic: Topic, push_first: Callable[[], object]
    ) -> SimulatedSubscription:
        """Register *sink*, and call *push_first* before any change can be pushed."""
        subscription = SimulatedSubscription(
            sink, topic, cancel=self._cancel, on_failure=self.drain_waits.check_again
        )
        self.drain_waits.follow(sink)

        def register() -> None:
            self.subscriptions[subscription] = None
            push_first()

        def subscribe() -> None:
            error = self.next_subscribe_error
            self.next_subscribe_error = None
            if error is not None:
                raise error

            thread = self._running_thread()
            try:
                thread.run(register)
            except BaseException:
                # The initial push raised, or Ctrl-C ended the wait. The caller gets no
                # subscription to cancel, so it must not stay registered.
                self._unregister(subscription)
                raise

        self._run_in_turn(subscribe)
        return subscription

    def control(self, job: Callable[[], T]) -> T:
        """Run *job*, which changes the client, and return its value.

        :raises RuntimeError: inside a push, or inside another call of this client
        """

        def control() -> T:
            return job() if self._thread is None else self._thread.run(job, control=True)

        return self._run_in_turn(control)

    def close(self) -> None:
        """Fail and forget all subscriptions, and end the thread."""
        error = BackendError("SimulatedBackend.close", errno.ESHUTDOWN, "errno")

        def fail_and_forget() -> None:
            # On the notifying thread. On another thread, this could change the table
            # while the client restarts by itself and iterates over the table.
            self.fail_all(error)
            self.subscriptions.clear()

        def close() -> None:
            if self._thread is not None:
                self._thread.run(fail_and_forget)
                self._end_thread_if_idle()

        self._run_in_turn(close)

    def _cancel(self, subscription: SimulatedSubscription) -> None:
        def cancel() -> None:
            error = self.next_cancel_error
            self.next_cancel_error = None
            self._unregister(subscription)
            if error is not None:
                raise error

        self._run_in_turn(cancel)

    def _unregister(self, subscription: SimulatedSubscription) -> None:
        # Each step can be repeated. An exception of a signal handler can interrupt any
        # step, and the caller then calls cancel() again to complete the rest.
        if self._thread is not None:
            # Run this even if the subscription is not in the table. Its interrupted
            # registration may still be waiting for the thread, and this job comes later.
            self._thread.run(lambda: self.subscriptions.pop(subscription, None))
            self.drain_waits.check_again()
            self._end_thread_if_idle()

    def _run_in_turn(self, call: Callable[[], T]) -> T:
        def run() -> T:
            # An interrupted call can leave a thread without subscriptions, which may
            # already have been stopped. A job for that thread would never run.
            self._end_thread_if_idle()
            return call()

        return self._turns.run(run)

    def _running_thread(self) -> NotifyingThread:
        if self._thread is None:
            # Imported here, because a program that only asks for the port needs no thread.
            from ._notifying_thread import NotifyingThread

            self._thread = NotifyingThread(
                self._restart_every,
                begin=self._turns.exclude_this_thread,
                idle=self._restart_by_itself,
            )
        return self._thread

    def _end_thread_if_idle(self) -> None:
        if self._thread is not None and not self.subscriptions:
            self._thread.stop()
            self._thread = None

    # Called on the notifying thread, or in a turn while there is no such thread

    def _push(self, topic: Topic, value: object, notification_type: int) -> None:
        for subscription in self.subscriptions:
            if subscription.topic is topic:
                subscription.push(value, notification_type)

    def fail_all(self, error: BackendError) -> None:
        """Fail all subscriptions that have not failed yet."""
        for subscription in self.subscriptions:
            subscription.fail(error)

    def _restart_by_itself(self) -> None:
        try:
            self.state.restart()
        except BaseException as error:  # noqa: BLE001 - no caller waits for this restart
            # Raised further, it would end the thread. Every later call would then wait
            # for a thread that does not run.
            self.fail_all(simulated_failure(error))


_clients: Final[weakref.WeakSet[SimulatedClient]] = weakref.WeakSet()


def _reset_after_fork() -> None:
    # The threads and the subscriptions of the clients stay in the parent process.
    for client in _clients:
        client.reset()


after_fork_in_child(_reset_after_fork)
