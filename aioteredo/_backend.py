"""The protocols that a backend implements or calls."""

from __future__ import annotations

from typing import Protocol, TypeAlias, TypeVar

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
