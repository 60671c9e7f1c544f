"""The protocols that a backend implements or calls."""

from __future__ import annotations

from typing import Protocol, TypeAlias, TypeVar

from ._addresses import TeredoAddress
from ._errors import BackendError
from ._public import public

T_contra = TypeVar("T_contra", contravariant=True)
T_co = TypeVar("T_co", covariant=True)


@public
class Sink(Protocol):
    """The receiver of notifications. Its methods never block and never raise."""

    def push(self, port: int | None, notification_type: int, /) -> None:
        """Deliver a notification. From any thread, but one call at a time.

        :param port: the UDP port, 1 to 65535, or None if the Teredo client has no port
        :param notification_type: a value of :class:`NotificationType`
        """

    def fail(self, error: BackendError) -> None:
        """Report that the backend has failed and will deliver nothing more.

        From any thread, after the last call of :meth:`push`.
        """


@public
class Subscription(Protocol):
    """A registration for notifications."""

    def cancel(self) -> None:
        """Cancel the registration. Called once, and never on the notifying thread.

        After this returns, no push is running and none can start. The method is called
        again only if an exception such as KeyboardInterrupt interrupted it, and then
        completes the cancellation.

        :raises BackendError: if the system refuses. Even then, nothing more is pushed
        """


@public
class Backend(Protocol):
    """A source of Teredo port notifications. Its methods may block, in any thread."""

    def get_port(self) -> int | None:
        """Return the UDP port, 1 to 65535, or None if the Teredo client has no port.

        :raises BackendError: if the port cannot be read
        :raises BackendUnavailableError: if this system has no Teredo client
        """

    def subscribe(self, sink: Sink, *, initial: bool) -> Subscription:
        """Register *sink*, so that every later change is pushed, one at a time.

        A push may come before this returns, even on the calling thread. If this raises,
        nothing is registered.

        :param initial: True to push the current port with ``NotificationType.INITIAL``
            before this returns, in order with the changes
        :raises BackendError: if the system refuses, or cannot read the initial port
        :raises BackendUnavailableError: if this system has no Teredo client
        """


BackendLike: TypeAlias = Backend | str


@public
class AddressSink(Protocol):
    """The receiver of Teredo addresses. Its methods never block."""

    def push(self, addresses: tuple[TeredoAddress, ...], notification_type: int, /) -> None:
        """Deliver a notification. From any thread, but one call at a time.

        :param addresses: all usable Teredo addresses of the machine, in any order; empty if
            there is none
        :param notification_type: a value of :class:`NotificationType`
        :raises TypeError: if *addresses* is not a tuple of TeredoAddress
        """

    def fail(self, error: BackendError) -> None:
        """Report that the backend has failed and will deliver nothing more.

        From any thread, after the last call of :meth:`push`.
        """


@public
class AddressBackend(Protocol):
    """A source of Teredo addresses: the methods that a :class:`Backend` may have as well.

    They are optional. Without them, the functions for addresses raise
    :exc:`BackendUnavailableError`, and the functions for ports work.

    An address is *usable* once a program can bind a socket to it: duplicate address
    detection has ended. The methods report usable addresses only. They may block, and may
    be called in any thread.
    """

    def get_addresses(self) -> tuple[TeredoAddress, ...]:
        """Return all usable Teredo addresses, in any order; empty if there is none.

        :raises BackendError: if the addresses cannot be read
        :raises BackendUnavailableError: if this system has no Teredo client, or cannot
            report addresses
        """

    def subscribe_addresses(self, sink: AddressSink, *, initial: bool) -> Subscription:
        """Register *sink*, so that all addresses are pushed after each later change.

        This method keeps the rules of :meth:`Backend.subscribe`. It may push the same
        addresses repeatedly, because a watch ignores them if they have not changed.

        :param initial: True to push the current addresses with ``NotificationType.INITIAL``
            before this returns, in order with the changes
        :raises BackendError: if the system refuses, or cannot read the addresses
        :raises BackendUnavailableError: as for :meth:`get_addresses`
        """

    def subscribe_stable_addresses(self, sink: AddressSink) -> Subscription:
        """Register *sink*, so that the addresses are pushed once they are stable.

        The addresses are stable when none of them waits for duplicate address detection,
        and the Teredo client, if there is one, has woken up and has qualified. The push has
        the type ``NotificationType.INITIAL``, and may come before this returns. A
        further push replaces one that has not been received yet, or is ignored.

        :raises BackendError: if the system refuses, or cannot read the addresses
        :raises BackendUnavailableError: as for :meth:`get_addresses`
        """


# The core does not depend on the kind of the values that a backend pushes.


class SinkOf(Protocol[T_contra]):
    """A :class:`Sink` for values of any kind."""

    def push(self, value: T_contra, notification_type: int, /) -> None:
        """Deliver a notification. From any thread, but one call at a time."""

    def fail(self, error: BackendError) -> None:
        """Report that the backend has failed and will deliver nothing more."""


class Subscribe(Protocol[T_co]):
    """The method of a backend that registers a sink for one kind of values."""

    def __call__(self, sink: SinkOf[T_co], *, initial: bool) -> Subscription:
        """Register *sink*, as :meth:`Backend.subscribe` does."""
