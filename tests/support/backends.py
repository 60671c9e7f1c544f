"""A backend for the tests of the core."""

from __future__ import annotations

from collections.abc import Callable

from aioteredo._backend import Sink


class CountingBackend:
    """A backend that counts its calls, and lets a test interfere before each of them.

    It never notifies, and is its own subscription.
    """

    def __init__(
        self,
        on_subscribe: Callable[[], object] = lambda: None,
        on_cancel: Callable[[], object] = lambda: None,
    ) -> None:
        self.subscribed = 0
        self.cancelled = 0
        self._on_subscribe = on_subscribe
        self._on_cancel = on_cancel

    def get_port(self) -> int | None:
        return 1000

    def subscribe(self, sink: Sink, *, initial: bool) -> CountingBackend:
        self._on_subscribe()
        self.subscribed += 1
        return self

    def cancel(self) -> None:
        self._on_cancel()
        self.cancelled += 1
