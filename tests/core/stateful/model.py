"""The model of one watch: the events that were pushed, and the last one received.

The model needs no buffer: the number of the next event follows from the two.
"""

from __future__ import annotations

import errno
import itertools
from typing import Any

from anyio import ClosedResourceError

from aioteredo import BackendError, BackendFailedError, PortEvent, PortEventStream

from .attempt import Attempt
from .event_loops import Loop


class ClientRegistration:
    """A registration with the client. The watches of a shared client have one together."""

    def __init__(self) -> None:
        self.failed = False


class Watch:
    """A watch of the story, and its model."""

    _names = itertools.count(1)

    def __init__(
        self, loop: Loop, max_buffer_size: int, registration: ClientRegistration
    ) -> None:
        self.name = f"watch {next(self._names)}"
        self.context: Any = None
        self.stream: PortEventStream | None = None
        self.receiver: Attempt | None = None

        # The loop is None after it has been closed.
        self.loop: Loop | None = loop
        self.max_buffer_size = max_buffer_size
        self.history: list[tuple[int | None, int]] = []
        self.last_number = 0
        self.last_time = 0
        self.error: BackendError | None = None

        # The client and the package stop counting the watch at different moments: a client
        # that was closed has no subscribers, but the package still has to cancel.
        self.registration = registration
        self.subscribed = True
        self.registered = True
        self.orphaned = False
        self.closed = False

    def __repr__(self) -> str:
        return self.name

    def record(self, port: int | None, notification_type: int) -> None:
        """Add a notification of the client to the history."""
        if self.subscribed and self.error is None:
            self.history.append((port, notification_type))

    @property
    def ready(self) -> bool:
        """Whether the next call of ``receive`` returns an event at once."""
        return not self.closed and self.last_number < len(self.history)

    @property
    def next_number(self) -> int:
        """The number of the oldest event that is in the buffer."""
        return max(self.last_number + 1, len(self.history) - self.max_buffer_size + 1)

    def check_event(self, event: PortEvent, *, early: bool = False) -> None:
        """Check an event that was received.

        :param early: whether it may have been received before the last push
        """
        assert event.missed >= 0
        number = self.last_number + event.missed + 1
        if early:
            assert number <= self.next_number
        else:
            assert number == self.next_number

        assert (event.port, event.notification_type) == self.history[number - 1]
        assert event.monotonic_ns >= self.last_time

        self.last_number = number
        self.last_time = event.monotonic_ns

    def check_error(self, error: BaseException | None) -> None:
        """Check an exception that ``receive`` has raised."""
        if self.closed:
            assert type(error) is ClosedResourceError
            return

        assert not self.ready
        assert self.error is not None
        assert type(error) is BackendFailedError
        assert error is not self.error  # Each consumer gets an exception of its own.

        client_was_closed = error.errno == self.error.errno == errno.ESHUTDOWN
        assert str(error) == str(self.error) or client_was_closed
