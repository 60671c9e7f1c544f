"""A Teredo client inside the process, for tests and for work on any machine.

It notifies as Windows does: on a thread of its own, one call at a time. While there is
a subscription, everything that changes the client runs on that thread, so there is one
order. It does not imitate native misbehaviour, such as callbacks that overlap.
"""

from __future__ import annotations

import errno
import random
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, NoReturn, Self, TypeVar

from .._backend import Sink
from .._checks import check_integer
from .._errors import BackendError, TeredoError
from .._events import NotificationType
from .._fork import after_fork_in_child
from .._public import public
from ._draining import DrainWaits

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


@public
class SimulatedBackend:
    """A Teredo client that does what it is told. All methods are thread-safe.

    Each control returns once every open stream holds its event. To go on when the
    consumers have handled it, await :meth:`wait_until_drained`.

    A control may be called on an event loop's thread, because a push never waits for a
    loop. It raises RuntimeError where it would wait for itself: inside a push, and in a
    finalizer or signal handler that runs during another call of the same client.

    As a context manager it ends with the block: a watch that is still open there fails
    with :exc:`BackendError`.

    :param port: the port at the beginning, 1 to 65535, or None: no port
    :param seed: makes the ports of :meth:`restart` the same in each run
    :param restart_every: seconds without a control after which it restarts by itself, while
        it is watched
    :raises ValueError: if *port* or *restart_every* is out of range
    :raises TypeError: if *port* is neither an integer nor None, or *restart_every* is not a
        number
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        seed: int | None = None,
        restart_every: float | None = None,
    ) -> None:
        if restart_every is not None:
            _check_seconds("restart_every", restart_every)
        self._port = _check_port(port)
        self._random = random.Random(seed)  # noqa: S311 - a port is no secret
        self._restart_every = restart_every
        self._subscribe_error: TeredoError | None = None
        self._cancel_error: BackendError | None = None
        self._reset()
        _clients.add(self)

    def _reset(self) -> None:
        # Held for the whole of a call, so that calls of several threads take turns.
        # Reentrant only because it then knows whether this thread holds it.
        self._lock = threading.RLock()

        # The attribute `busy` is true on a thread that is inside a call, and on the
        # notifying thread. A thread's number would not do: the number of a thread that
        # has ended is used again for other threads.
        self._here = threading.local()

        self._subscriptions: dict[_Subscription, None] = {}
        self._thread: NotifyingThread | None = None
        self._drain_waits = DrainWaits()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a SimulatedBackend cannot be copied or pickled: a copy would share its "
            "lock, its thread and its subscriptions; make another SimulatedBackend"
        )

    # what a backend does

    def get_port(self) -> int | None:
        """The port, 1 to 65535, or None."""
        return self._port

    def subscribe(self, sink: Sink, *, initial: bool) -> _Subscription:
        """Register *sink* for each change to come.

        :raises TeredoError: what :meth:`fail_next_subscribe` was given
        :raises BackendError: if the system refuses another thread
        :raises BackendUnavailableError: in a subinterpreter without daemon threads
        :raises RuntimeError: inside a push
        """
        subscription = _Subscription(self, sink)
        self._drain_waits.follow(sink)

        def register() -> None:
            self._subscriptions[subscription] = None
            if initial:
                sink.push(self._port, NotificationType.INITIAL)

        def subscribe() -> None:
            error, self._subscribe_error = self._subscribe_error, None
            if error is not None:
                raise error
            if self._thread is None:
                # The import takes time that a mere question for the port need not pay.
                from ._notifying_thread import NotifyingThread

                self._thread = NotifyingThread(
                    self._restart_every,
                    begin=self._begin_on_thread,
                    idle=self._restart_by_itself,
                )
            try:
                self._thread.run(register)
            except BaseException:
                # The initial push raised, or Ctrl-C ended the wait. The caller gets no
                # subscription to cancel, so it must not stay registered.
                self._unregister(subscription)
                raise

        self._in_turn(subscribe)
        return subscription

    def _cancel(self, subscription: _Subscription) -> None:
        def cancel() -> None:
            error, self._cancel_error = self._cancel_error, None
            self._unregister(subscription)
            if error is not None:
                raise error

        self._in_turn(cancel)

    def _unregister(self, subscription: _Subscription) -> None:
        # Each step can be repeated. An exception of a signal handler can interrupt any
        # of them, and the caller then calls cancel() again to complete the rest.
        if self._thread is not None:
            # Even if the subscription is not in the table: its interrupted registration
            # may still be waiting for its turn, and this job comes after it.
            self._thread.run(lambda: self._subscriptions.pop(subscription, None))
            self._drain_waits.look_again()
            self._end_thread_if_idle()

    def _end_thread_if_idle(self) -> None:
        if self._thread is not None and not self._subscriptions:
            self._thread.stop()
            self._thread = None

    def _in_turn(self, call: Callable[[], T]) -> T:
        """Make a call that no other thread makes at the same time.

        :raises RuntimeError: if this thread is inside a call, or is the notifying thread
        """
        if getattr(self._here, "busy", False):
            raise RuntimeError(
                "this thread is already inside a call or a push of the same "
                "SimulatedBackend, so this call would wait for itself; make it on "
                "another thread, and do not wait for it here"
            )
        # No `with self._lock`: Ctrl-C can be raised after __enter__ has returned and
        # before the block begins, and the lock would stay held.
        try:
            self._here.busy = True
            self._lock.acquire()

            # An interrupted call can leave a thread that has nothing more to do and may
            # have been stopped already. A job would never be done there.
            self._end_thread_if_idle()
            return call()
        finally:
            self._here.busy = False
            try:  # noqa: SIM105 - Ctrl-C could be raised inside of suppress()
                self._lock.release()
            except RuntimeError:  # interrupted before the lock was acquired
                pass

    # controls

    @property
    def subscriber_count(self) -> int:
        """How many watches are registered now."""
        return len(self._subscriptions)

    def set_port(self, port: int | None) -> None:
        """Change the port and notify, also if it is the same; None: there is none.

        :raises ValueError: if *port* is not in 1 to 65535
        :raises TypeError: if *port* is neither an integer nor None
        :raises RuntimeError: inside a push
        """
        self.burst([port])

    def burst(self, ports: Iterable[int | None]) -> None:
        """Change the port to each of *ports* in turn, as fast as can be.

        :raises ValueError: if a port is not in 1 to 65535; then none is set
        :raises TypeError: if a port is neither an integer nor None; then none is set
        :raises RuntimeError: inside a push
        """
        checked = [_check_port(port) for port in ports]
        self._call(lambda: self._change(checked))

    def restart(self) -> int:
        """Restart the client, which gives it another port, and notify.

        :return: the new port, 49152 to 65535
        :raises RuntimeError: inside a push
        """
        return self._call(self._restart)

    def stop(self) -> None:
        """Stop the client: it has no port any more.

        :raises RuntimeError: inside a push
        """
        self.set_port(None)

    def fail_next_subscribe(self, error: TeredoError) -> None:
        """Have the next registration fail with *error*.

        :raises TypeError: if *error* is not a TeredoError
        """
        self._subscribe_error = _check_error(error, TeredoError)

    def fail(self, error: BackendError) -> None:
        """Fail the watches that are open now. New ones work.

        :raises TypeError: if *error* is not a BackendError
        :raises RuntimeError: inside a push
        """
        _check_error(error, BackendError)
        self._call(lambda: self._fail_all(error))

    def fail_next_cancel(self, error: BackendError) -> None:
        """Have the next cancellation fail with *error*; it takes effect all the same.

        :raises TypeError: if *error* is not a BackendError
        """
        self._cancel_error = _check_error(error, BackendError)

    def close(self) -> None:
        """End the notifying thread. A watch that is still open fails.

        :raises RuntimeError: inside a push
        """
        error = BackendError("SimulatedBackend.close", errno.ESHUTDOWN, "errno")

        def fail_and_forget() -> None:
            # On the notifying thread, which may otherwise be iterating over the
            # subscriptions, because the client restarts by itself.
            self._fail_all(error)
            self._subscriptions.clear()

        def close() -> None:
            if self._thread is not None:
                self._thread.run(fail_and_forget)
                self._end_thread_if_idle()

        self._in_turn(close)

    async def wait_until_drained(
        self,
        timeout: float = 5.0,  # noqa: ASYNC109 - at the limit, the error names the streams
    ) -> None:
        """Return once the consumers of all open streams have handled their events.

        A stream is drained when its consumer has received every event and waits for the
        next one. A consumer that awaits something else is still busy with its event. There
        is nothing to wait for in a stream that has never had an event, has failed or is
        closed, nor in a sink that is not a stream of :func:`watch_teredo_port`.

        The streams may belong to any event loops and threads.

        :param timeout: seconds, more than 0
        :raises TimeoutError: if a stream is not drained in time; the message says which
            and why
        :raises ValueError: if *timeout* is out of range
        :raises TypeError: if *timeout* is not a number
        :raises RuntimeError: outside of asyncio and trio
        """
        _check_seconds("timeout", timeout)
        await self._drain_waits.wait(self._sinks, timeout)

    def _sinks(self) -> list[Sink | None]:
        return [subscription.sink for subscription in list(self._subscriptions)]

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
        def control() -> T:
            return job() if self._thread is None else self._thread.run(job, control=True)

        return self._in_turn(control)

    # on the notifying thread while there is one

    def _begin_on_thread(self) -> None:
        self._here.busy = True

    def _change(self, ports: Iterable[int | None]) -> None:
        for self._port in ports:
            for subscription in self._subscriptions:
                subscription.push(self._port)

    def _restart(self) -> int:
        first, second = self._random.sample(DYNAMIC_PORTS, 2)
        port = second if first == self._port else first
        self._change([port])
        return port

    def _restart_by_itself(self) -> None:
        try:
            self._restart()
        except BaseException as error:  # noqa: BLE001 - nobody waits for this restart
            # Raised further, it would end the thread, and every later call would wait
            # for a thread that is not there.
            self._fail_all(_failure(error))

    def _fail_all(self, error: BackendError) -> None:
        for subscription in self._subscriptions:
            subscription.fail(error)


class _Subscription:
    def __init__(self, client: SimulatedBackend, sink: Sink) -> None:
        self._client = client
        self.sink: Sink | None = sink  # None: it has failed

    def cancel(self) -> None:
        self._client._cancel(self)

    def push(self, port: int | None) -> None:
        if self.sink is not None:
            try:
                self.sink.push(port, NotificationType.PARAMETER)
            except BaseException as error:  # noqa: BLE001 - the sink gets it
                # A sink must not raise. This one fails, and the others get the event.
                self.fail(_failure(error))

    def fail(self, error: BackendError) -> None:
        sink = self.sink
        self.sink = None
        if sink is not None:
            # There is nobody left to report an exception of fail() to. Raised further,
            # it would keep the failure from the other subscriptions.
            with suppress(BaseException):
                sink.fail(error)
            self._client._drain_waits.look_again()


def _failure(cause: BaseException) -> BackendError:
    failure = BackendError("SimulatedBackend", errno.EIO, "errno")
    failure.__cause__ = cause
    return failure


def _check_port(port: int | None) -> int | None:
    if port is None:
        return None
    return check_integer("port", port, 1, 65535, or_none=True)


def _check_seconds(name: str, seconds: float) -> None:
    try:
        in_range = 0 < seconds <= threading.TIMEOUT_MAX
    except TypeError:
        raise TypeError(f"{name} must be a number of seconds, not {seconds!r}") from None
    if not in_range:
        raise ValueError(f"{name} must be seconds, more than 0, not {seconds!r}")


def _check_error(error: E, kind: type[TeredoError]) -> E:
    if not isinstance(error, kind):
        raise TypeError(f"error must be a {kind.__name__}, not {error!r}")
    return error


_clients: Final[weakref.WeakSet[SimulatedBackend]] = weakref.WeakSet()


def _reset_after_fork() -> None:
    for client in _clients:  # their threads and subscriptions are the parent's
        client._reset()


after_fork_in_child(_reset_after_fork)
