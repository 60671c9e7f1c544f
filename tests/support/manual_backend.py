"""A backend whose every call and notification a test makes or observes by hand."""

from __future__ import annotations

from collections.abc import Callable

from aioteredo import BackendError, NotificationType, Sink


class ManualBackend:
    """A backend that pushes on the thread of the test, and calls a function of the test.

    ``on_subscribe``, ``on_get`` and ``on_cancel`` are called in the method that each is
    named after, and may raise. A registration whose cancel was refused stays.
    """

    def __init__(self, port: int | None = 1000) -> None:
        self.port = port
        self.sinks: list[Sink] = []
        self.asked_for_initial: list[bool] = []
        self.subscribed = 0
        self.reads = 0
        self.cancelled = 0
        self.on_subscribe: Callable[[], object] = lambda: None
        self.on_get: Callable[[], object] = lambda: None
        self.on_cancel: Callable[[], object] = lambda: None

    def get_port(self) -> int | None:
        self.reads += 1
        port = self.port
        self.on_get()
        return port

    def subscribe(self, sink: Sink, *, initial: bool) -> ManualSubscription:
        self.subscribed += 1
        self.asked_for_initial.append(initial)
        self.sinks.append(sink)
        try:
            self.on_subscribe()
            if initial:
                sink.push(self.get_port(), NotificationType.INITIAL)
        except BaseException:
            self.sinks.remove(sink)
            raise
        return ManualSubscription(self, sink)

    def push(self, port: int | None) -> None:
        """Change the port and notify, on the calling thread."""
        self.port = port
        for sink in list(self.sinks):
            sink.push(port, NotificationType.PARAMETER)

    def fail(self, error: BackendError) -> None:
        """Fail the present registrations, on the calling thread."""
        for sink in list(self.sinks):
            sink.fail(error)


class ManualSubscription:
    def __init__(self, backend: ManualBackend, sink: Sink) -> None:
        self._backend = backend
        self._sink = sink

    def cancel(self) -> None:
        backend = self._backend
        backend.on_cancel()
        assert self._sink in backend.sinks, "a registration was cancelled twice"
        backend.sinks.remove(self._sink)
        backend.cancelled += 1
