"""The protocols between a backend and the core."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from ._errors import BackendError
from ._public import public


@public
class Sink(Protocol):
    """Where a backend delivers notifications. Never blocks, never raises."""

    def push(self, port: int | None, notification_type: int) -> None:
        """Deliver a notification. From any thread, but one call at a time.

        :param port: 1 to 65535, or None: the Teredo client has no port now
        :param notification_type: a value of :class:`NotificationType`
        """

    def fail(self, error: BackendError) -> None:
        """Say that nothing more will be delivered. From any thread, after any push."""


@public
class Subscription(Protocol):
    """A registration for notifications."""

    def cancel(self) -> None:
        """Take back the registration. Called once, and never on the notifying thread.

        Returns when no push is running and none can start. It is called again only if
        an exception such as KeyboardInterrupt interrupted the call, and then completes
        the cancellation.

        :raises BackendError: if the system refuses; nothing is pushed even then
        """


@public
class Backend(Protocol):
    """A source of Teredo port notifications. Its methods may block, in any thread."""

    def get_port(self) -> int | None:
        """The UDP port, 1 to 65535, or None: the Teredo client has none.

        :raises BackendError: if the port cannot be read
        :raises BackendUnavailableError: if this system has no Teredo client
        """

    def subscribe(self, sink: Sink, *, initial: bool) -> Subscription:
        """Register *sink*: every change from now on is pushed, one at a time.

        A push may come before this returns, also on the calling thread. If this raises,
        nothing is registered.

        :param initial: push the current port with ``NotificationType.INITIAL`` before
            this returns, in order with the changes
        :raises BackendError: if the system refuses
        :raises BackendUnavailableError: if this system has no Teredo client
        """


BackendLike: TypeAlias = Backend | str
