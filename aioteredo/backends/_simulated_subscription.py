"""A sink's registration with a simulated client, which pushes on one thread."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from .._backend import SinkOf
from .._errors import BackendError, failure


class Topic(Enum):
    """The kind of values that a sink gets."""

    PORT = auto()
    ADDRESSES = auto()
    STABLE_ADDRESSES = auto()


class SimulatedSubscription:
    """A sink that gets the changes of a simulated client until it fails.

    :param topic: the kind of the changes
    :param cancel: called by :meth:`cancel`, with this object
    :param on_failure: called after the sink has failed; must not raise
    """

    sink: SinkOf[Any] | None
    """The sink, or None once it has failed: it gets nothing more."""

    def __init__(
        self,
        sink: SinkOf[Any],
        topic: Topic,
        *,
        cancel: Callable[[SimulatedSubscription], object],
        on_failure: Callable[[], object],
    ) -> None:
        self.sink = sink
        self.topic = topic
        self._cancel = cancel
        self._on_failure = on_failure

    def cancel(self) -> None:
        """Take the sink out of the client.

        :raises BackendError: the error of :meth:`SimulatedBackend.fail_next_cancel`
        :raises RuntimeError: inside a push
        """
        self._cancel(self)

    def push(self, value: Any, notification_type: int) -> None:
        """Push a change. If the sink raises an exception, only this sink fails."""
        if self.sink is None:
            return

        try:
            self.sink.push(value, notification_type)
        except BaseException as error:  # noqa: BLE001 - the sink gets it
            # Raised further, it would keep the change from the other subscriptions.
            self.fail(simulated_failure(error))

    def fail(self, error: BackendError) -> None:
        """Fail the sink, once."""
        sink = self.sink
        self.sink = None
        if sink is None:
            return

        # Nobody is left to whom an exception of Sink.fail() could be reported. Raised
        # further, it would keep the failure from the other subscriptions.
        with suppress(BaseException):
            sink.fail(error)
        self._on_failure()


def simulated_failure(cause: BaseException) -> BackendError:
    """Return the failure of a sink, or of all sinks, that an exception has caused."""
    return failure("SimulatedBackend", errno.EIO, "errno", cause)
