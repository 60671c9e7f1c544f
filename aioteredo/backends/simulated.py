"""A Teredo client inside the process, for tests and for work on any machine.

This module is its public interface. The client itself is in ``_simulated_client.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar

from .._addresses import TeredoAddress
from .._backend import AddressSink, Sink, SinkOf, Subscription
from .._checks import check_seconds
from .._errors import BackendError, TeredoError
from .._public import public
from ._simulated_client import SimulatedClient
from ._simulated_state import check_address, check_port

E = TypeVar("E", bound=TeredoError)

RESTART_INTERVAL: Final = 2.0
"""Seconds between the restarts of the client that the name ``"simulated"`` stands for."""

ADDRESS: Final = "2001:0:c633:6401::34ff:8ef8"
"""The address of the same client, but for the mapped port, which each restart changes.

The server 198.51.100.1 and the mapped address 203.0.113.7 are reserved for documentation.
"""


def restarting_client() -> SimulatedBackend:
    """Return the backend of the name ``"simulated"``, which restarts by itself."""
    client = SimulatedBackend(restart_every=RESTART_INTERVAL)
    client.set_addresses(ADDRESS)
    client.restart()
    return client


@public
class SimulatedBackend:
    """A Teredo client that the program controls. All methods are thread-safe.

    A control is a method that changes the client. It returns once every open stream holds
    the event. To go on only when the consumers have handled the event, await
    :meth:`wait_until_drained`.

    A control may be called on an event loop's thread, because a push never waits for a
    loop. It raises RuntimeError where it would wait for itself: inside a push, and in a
    finalizer or signal handler that runs during another call of the same client.

    The context manager closes the client at the end of the block: a watch that is still
    open then fails with :exc:`BackendError`.

    :param port: the port at the beginning, 1 to 65535, or None for a client without a port
    :param seed: the seed of the ports of :meth:`restart`, to get the same ports in each run
    :param restart_every: seconds without a control after which the client restarts by
        itself, more than 0, while there is a watch; None: never
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
            check_seconds("restart_every", restart_every)
        self._client = SimulatedClient(check_port(port), seed, restart_every)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a SimulatedBackend cannot be copied or pickled: a copy would share its "
            "lock, its thread and its subscriptions; make another SimulatedBackend"
        )

    def get_port(self) -> int | None:
        """Return the port, 1 to 65535, or None."""
        return self._client.state.port

    def subscribe(self, sink: Sink, *, initial: bool) -> Subscription:
        """Register *sink* for all later changes.

        :param initial: whether the current port is pushed first
        :raises TeredoError: the error of :meth:`fail_next_subscribe`
        :raises BackendError: if the system refuses another thread
        :raises BackendUnavailableError: in a subinterpreter without daemon threads
        :raises RuntimeError: inside a push
        """
        return self._client.subscribe(sink, initial=initial)

    def get_addresses(self) -> tuple[TeredoAddress, ...]:
        """Return the usable addresses."""
        return self._client.state.addresses

    def subscribe_addresses(self, sink: AddressSink, *, initial: bool) -> Subscription:
        """Register *sink* for the addresses. The errors are those of :meth:`subscribe`.

        :param initial: whether the current addresses are pushed first
        """
        return self._client.subscribe_addresses(sink, initial=initial)

    def subscribe_stable_addresses(self, sink: AddressSink) -> Subscription:
        """Register *sink* for the addresses, as soon as they are stable.

        The errors are those of :meth:`subscribe`.
        """
        return self._client.subscribe_stable_addresses(sink)

    # What a test sees and controls

    @property
    def subscriber_count(self) -> int:
        """The number of registrations. All watches of a shared client have one together."""
        return len(self._client.subscriptions)

    def set_port(self, port: int | None) -> None:
        """Change the port and notify, even if the port stays the same.

        :param port: 1 to 65535, or None for a client without a port
        :raises ValueError: if *port* is not in 1 to 65535
        :raises TypeError: if *port* is neither an integer nor None
        :raises RuntimeError: inside a push
        """
        self.burst([port])

    def burst(self, ports: Iterable[int | None]) -> None:
        """Change the port to each of *ports* in turn, as fast as possible.

        :raises ValueError: if a port is not in 1 to 65535; no port is set then
        :raises TypeError: if a port is neither an integer nor None; no port is set then
        :raises RuntimeError: inside a push
        """
        checked = [check_port(port) for port in ports]

        def change() -> None:
            for port in checked:
                self._client.state.change_port(port)

        self._client.control(change)

    def set_addresses(self, *addresses: str | IPv6Address, stable: bool = True) -> None:
        """Change the usable Teredo addresses, and notify.

        Only this method, :meth:`restart` and :meth:`stop` change the addresses. A client
        has none at the beginning.

        :param addresses: all addresses that the client has from now on, or none
        :param stable: False as long as further addresses will follow, as while a client
            looks for its server. ``get_teredo_addresses(wait_until_stable=True)`` then
            waits for a call with True, or of :meth:`stop`
        :raises ValueError: if one of *addresses* is not a Teredo address; none is set then
        :raises TypeError: if one is neither a string nor an IPv6Address; none is set then
        :raises RuntimeError: inside a push
        """
        checked = [check_address(address) for address in addresses]
        self._client.control(
            lambda: self._client.state.change_addresses(checked, stable=stable)
        )

    def restart(self) -> int:
        """Restart the client, which gives it another port, and notify.

        The addresses change as well, if there are any: each keeps its other fields, and
        has the new port as its ``mapped_port``.

        :return: the new port, 49152 to 65535
        :raises RuntimeError: inside a push
        """
        return self._client.control(self._client.state.restart)

    def stop(self) -> None:
        """Stop the client, so that it has neither a port nor an address, and notify.

        :raises RuntimeError: inside a push
        """
        self._client.control(self._client.state.stop)

    def fail_next_subscribe(self, error: TeredoError) -> None:
        """Make the next registration fail with *error*.

        :raises TypeError: if *error* is not a TeredoError
        """
        self._client.next_subscribe_error = _check_error(error, TeredoError)

    def fail(self, error: BackendError) -> None:
        """Fail the watches that are open now. Later watches work.

        :raises TypeError: if *error* is not a BackendError
        :raises RuntimeError: inside a push
        """
        _check_error(error, BackendError)
        self._client.control(lambda: self._client.fail_all(error))

    def fail_next_cancel(self, error: BackendError) -> None:
        """Make the next cancellation raise *error*. The watch is cancelled nevertheless.

        :raises TypeError: if *error* is not a BackendError
        """
        self._client.next_cancel_error = _check_error(error, BackendError)

    def close(self) -> None:
        """Fail the watches that are still open, and end the notifying thread.

        :raises RuntimeError: inside a push
        """
        self._client.close()

    async def wait_until_drained(
        self,
        timeout: float = 5.0,  # noqa: ASYNC109 - at the limit, the error names the streams
    ) -> None:
        """Return once the consumers of all open streams have handled their events.

        A stream is drained when its consumer has received every event and waits for the
        next one. A consumer that awaits something else is still busy with its event. The
        wait skips a stream that has never had an event, has failed or is closed, and every
        sink that is not a stream of aioteredo.

        The streams may belong to any event loops and threads.

        :param timeout: seconds, more than 0
        :raises TimeoutError: if a stream is not drained in time; the message names the
            stream and the reason
        :raises ValueError: if *timeout* is out of range
        :raises TypeError: if *timeout* is not a number
        :raises RuntimeError: outside of asyncio and trio
        """
        check_seconds("timeout", timeout)
        await self._client.drain_waits.wait(self._sinks, timeout)

    def _sinks(self) -> list[SinkOf[Any] | None]:
        return [subscription.sink for subscription in list(self._client.subscriptions)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _check_error(error: E, kind: type[TeredoError]) -> E:
    if not isinstance(error, kind):
        raise TypeError(f"error must be a {kind.__name__}, not {error!r}")
    return error
