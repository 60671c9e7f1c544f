"""A short and correct backend, from which the faulty backends derive."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Final

from aioteredo import BackendError, NotificationType
from aioteredo._backend import Sink
from aioteredo.testing import BackendContract, Driver

from ..support.waiting import start_thread

ERROR: Final = BackendError("NotifyTeredoPortChange", 8)
INITIAL: Final = NotificationType.INITIAL
PARAMETER: Final = NotificationType.PARAMETER


class Client:
    """A backend and its client. One thread notifies while there are subscriptions."""

    timeout = BackendContract.timeout
    a_while = 0.01  # A longer wait could only reveal mistakes, and this backend has none.

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.port: int | None = None
        self.refusing = False
        self.registered: list[Registration] = []
        self.jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None

    def get_port(self) -> int | None:
        return self.port

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        registration = Registration(self, sink)
        with self.lock:
            if self.refusing:
                raise ERROR
            if initial:
                registration.deliver(self.port, INITIAL)
            self.register(registration)
        return registration

    def register(self, registration: Registration) -> None:
        self.registered.append(registration)
        if self.thread is None:
            self.thread = start_thread(self.notify)

    def notify(self) -> None:
        while (job := self.jobs.get()) is not None:
            job()

    def cancel(self, registration: Registration) -> None:
        registration.detach()
        with self.lock:
            self.registered.remove(registration)
            if not self.registered:
                self.end_thread()

    def end_thread(self, timeout: float | None = None) -> None:
        if self.thread is not None:
            self.jobs.put(None)
            self.thread.join(timeout)
            self.thread = None

    def change(self, port: int | None) -> None:
        with self.lock:
            self.port = port
            for registration in list(self.registered):
                self.jobs.put(partial(registration.deliver, port, PARAMETER))

    def refuse(self, on: bool) -> None:
        self.refusing = on

    def fail(self) -> None:
        with self.lock:
            for registration in self.registered:
                self.jobs.put(registration.fail)

    def close(self) -> None:
        self.end_thread()

    @contextmanager
    def driver(self) -> Iterator[Driver]:
        with closing(self):
            yield Driver(self, self.change, self.refuse, self.fail)


class Registration:
    """A sink that is registered with a client, and the pushes that run."""

    def __init__(self, client: Client, sink: Sink) -> None:
        self.client = client
        self.sink = sink
        self.idle = threading.Condition()
        self.running = 0
        self.live = True

    def deliver(self, port: int | None, notification_type: int) -> None:
        with self.idle:
            if not self.live:
                return
            self.running += 1
        self.sink.push(port, notification_type)
        with self.idle:
            self.running -= 1
            self.idle.notify_all()

    def fail(self) -> None:
        self.live = False
        self.sink.fail(ERROR)

    def detach(self) -> None:
        with self.idle:
            self.live = False
            self.idle.wait_for(lambda: not self.running)

    def cancel(self) -> None:
        self.client.cancel(self)
