"""A Teredo client inside the process, for tests and for work on any machine.

It notifies as Windows does: on a thread of its own, one call at a time. While there is
a subscription, all that changes the client happens on that thread, so there is one
order; a control waits there for its turn and its end. It may be called on the event
loop's own thread, because a push never waits for the loop.

Native misbehaviour (callbacks that come late, overlap, or come before Notify returns)
is no part of it: that is the iphlpapi backend's to stand, and no user's to test.
"""

from __future__ import annotations

import errno
import operator
import os
import random
import threading
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from .._backend import Sink
from .._errors import BackendError, TeredoError
from .._events import NotificationType

if TYPE_CHECKING:
    from ._notifying_thread import NotifyingThread

T = TypeVar("T")
E = TypeVar("E", bound=TeredoError)

DYNAMIC_PORTS: Final = range(49152, 65536)  # RFC 6335
RESTART_INTERVAL: Final = 2.0


def restarting_client() -> SimulatedBackend:
    """What the name ``"simulated"`` stands for: it restarts by itself, every 2 s."""
    client = SimulatedBackend(restart_every=RESTART_INTERVAL)
    client.restart()
    return client


class SimulatedBackend:
    """A Teredo client that does what it is told. All methods are thread-safe.

    Each control returns once every open stream holds its event. What the consumers do
    with it is then up to the event loop: ``await anyio.wait_all_tasks_blocked()``.

    As a context manager it ends with the block: a watch that is still open there fails
    with :exc:`BackendError`.

    :param port: the port at the beginning, 1 to 65535, or None: no port
    :param seed: makes the ports of :meth:`restart` the same in each run
    :param restart_every: seconds without a control after which it restarts by itself, while
        it is watched
    :raises ValueError: if *port* or *restart_every* is out of range
    :raises TypeError: if *port* is neither an integer nor None
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        seed: int | None = None,
        restart_every: float | None = None,
    ) -> None:
        if restart_every is not None and not 0 < restart_every <= threading.TIMEOUT_MAX:
            raise ValueError(
                f"restart_every must be seconds, more than 0, not {restart_every!r}"
            )
        self._port = _check_port(port)
        self._random = random.Random(seed)  # noqa: S311 - a port is no secret
        self._restart_every = restart_every
        self._subscribe_error: TeredoError | None = None
        self._cancel_error: BackendError | None = None
        self._reset()
        _clients.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()  # held while a control waits for its end
        self._subscriptions: dict[_Subscription, None] = {}
        self._thread: NotifyingThread | None = None

    # what a backend does

    def get_port(self) -> int | None:
        """The port, 1 to 65535, or None."""
        return self._port

    def subscribe(self, sink: Sink, *, initial: bool) -> _Subscription:
        """Register *sink* for each change to come.

        :raises TeredoError: what :meth:`fail_next_subscribe` was given
        """
        subscription = _Subscription(self, sink)

        def register() -> None:
            self._subscriptions[subscription] = None
            if initial:
                sink.push(self._port, NotificationType.INITIAL)

        with self._lock:
            error, self._subscribe_error = self._subscribe_error, None
            if error is not None:
                raise error
            if self._thread is None:
                # it brings logging with it, 5 ms that a mere question does not need
                from ._notifying_thread import NotifyingThread

                self._thread = NotifyingThread(self._restart_every, self._restart)
            self._thread.run(register)
        return subscription

    def _cancel(self, subscription: _Subscription) -> None:
        with self._lock:
            error, self._cancel_error = self._cancel_error, None
            if self._thread is not None and subscription in self._subscriptions:
                self._thread.run(lambda: self._subscriptions.pop(subscription))
                self._end_thread_if_idle()
        if error is not None:
            raise error

    def _end_thread_if_idle(self) -> None:
        if self._thread is not None and not self._subscriptions:
            thread, self._thread = self._thread, None
            thread.stop()

    # controls

    @property
    def subscriber_count(self) -> int:
        """How many watches are registered now."""
        return len(self._subscriptions)

    def set_port(self, port: int | None) -> None:
        """Change the port and notify, also if it is the same; None: there is none.

        :raises ValueError: if *port* is not in 1 to 65535
        :raises TypeError: if *port* is neither an integer nor None
        """
        self.burst([port])

    def burst(self, ports: Iterable[int | None]) -> None:
        """Change the port to each of *ports* in turn, as fast as can be.

        :raises ValueError: if a port is not in 1 to 65535; then none is set
        :raises TypeError: if a port is neither an integer nor None; then none is set
        """
        checked = [_check_port(port) for port in ports]
        self._call(lambda: self._change(checked))

    def restart(self) -> int:
        """Restart the client, which gives it another port, and notify.

        :return: the new port, 49152 to 65535
        """
        return self._call(self._restart)

    def stop(self) -> None:
        """Stop the client: it has no port any more."""
        self.set_port(None)

    def fail_next_subscribe(self, error: TeredoError) -> None:
        """Have the next registration fail with *error*.

        :raises TypeError: if *error* is not a TeredoError
        """
        self._subscribe_error = _check_error(error, TeredoError)

    def fail(self, error: BackendError) -> None:
        """Fail the watches that are open now. New ones work.

        :raises TypeError: if *error* is not a BackendError
        """
        _check_error(error, BackendError)
        self._call(lambda: self._fail(error))

    def fail_next_cancel(self, error: BackendError) -> None:
        """Have the next cancellation fail with *error*; it takes effect all the same.

        :raises TypeError: if *error* is not a BackendError
        """
        self._cancel_error = _check_error(error, BackendError)

    def close(self) -> None:
        """End the notifying thread. A watch that is still open fails."""
        error = BackendError("SimulatedBackend.close", errno.ESHUTDOWN, "errno")
        with self._lock:
            if self._thread is not None:
                self._thread.run(lambda: self._fail(error))
                self._subscriptions.clear()
                self._end_thread_if_idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _call(self, job: Callable[[], T]) -> T:
        with self._lock:
            return job() if self._thread is None else self._thread.run(job)

    # on the notifying thread while there is one

    def _change(self, ports: Iterable[int | None]) -> None:
        for self._port in ports:
            for subscription in self._subscriptions:
                if subscription.sink is not None:
                    subscription.sink.push(self._port, NotificationType.PARAMETER)

    def _restart(self) -> int:
        first, second = self._random.sample(DYNAMIC_PORTS, 2)
        port = second if first == self._port else first
        self._change([port])
        return port

    def _fail(self, error: BackendError) -> None:
        for subscription in self._subscriptions:
            if subscription.sink is not None:
                subscription.sink.fail(error)
                subscription.sink = None


class _Subscription:
    def __init__(self, client: SimulatedBackend, sink: Sink) -> None:
        self._client = client
        self.sink: Sink | None = sink  # None: it has failed

    def cancel(self) -> None:
        self._client._cancel(self)


def _check_port(port: int | None) -> int | None:
    if port is None:
        return None
    try:
        number = operator.index(port)
    except TypeError:
        raise TypeError(f"port must be an integer or None, not {port!r}") from None
    if not 1 <= number <= 65535:
        raise ValueError(f"port must be 1 to 65535 or None, not {port!r}")
    return number


def _check_error(error: E, kind: type[TeredoError]) -> E:
    if not isinstance(error, kind):
        raise TypeError(f"error must be a {kind.__name__}, not {error!r}")
    return error


_clients: Final[weakref.WeakSet[SimulatedBackend]] = weakref.WeakSet()


def _reset_after_fork() -> None:
    for client in _clients:  # their threads and subscriptions are the parent's
        client._reset()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_reset_after_fork)
