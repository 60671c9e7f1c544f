"""Faulty backends, one for each mistake that a rule of the conformance suite must find."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from aioteredo._backend import Sink
from aioteredo.testing import BackendContract

from .correct_backend import ERROR, INITIAL, PARAMETER, Client, Registration

SHORT_WAIT: Final = BackendContract.a_while / 3
"""Seconds that a faulty cancel waits for a push before it gives up."""

NOT_FOUND: Final = 2.0
"""Seconds after which a rule gives up, for mistakes that make it wait in vain."""


class WithoutInitial(Client):
    """``subscribe`` ignores ``initial``."""

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        return super().subscribe(sink, initial=False)


class LateInitial(Client):
    """The initial notification comes only with the first change."""

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        registration = super().subscribe(sink, initial=False)
        if initial:
            before = self.port

            def change(port: int | None) -> None:
                registration.deliver(before, INITIAL)
                Client.change(self, port)

            self.change = change  # type: ignore[method-assign]
        return registration


class InitialWithoutPort(Client):
    """The 0 of the system's initial callback is pushed as "no port"."""

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        if initial:
            sink.push(None, INITIAL)
        return super().subscribe(sink, initial=False)


class InitialTwice(Client):
    """The system's initial notification is pushed in addition to the backend's own."""

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        registration = super().subscribe(sink, initial=initial)
        if initial:
            registration.deliver(self.port, INITIAL)
        return registration


class InitialAsChange(Client):
    """The initial notification has the type of a change."""

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        if initial:
            sink.push(self.port, PARAMETER)
        return super().subscribe(sink, initial=False)


class UnaskedInitial(Client):
    """The initial notification comes even without ``initial``."""

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        return super().subscribe(sink, initial=True)


class Overlapping(Client):
    """Each thread that changes the port pushes the change itself."""

    a_while = BackendContract.a_while

    def change(self, port: int | None) -> None:
        self.port = port
        for registration in list(self.registered):
            registration.deliver(port, PARAMETER)


class LastInFirstOut(Client):
    """Changes that have piled up are pushed with the newest first."""

    a_while = BackendContract.a_while

    def notify(self) -> None:
        jobs: list[Callable[[], object] | None] = []
        while None not in jobs:
            jobs = [self.jobs.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    jobs.append(self.jobs.get_nowait())
            for job in reversed(jobs):
                if job is not None:
                    job()


class Doubling(Client):
    """When changes pile up, some are pushed twice."""

    a_while = BackendContract.a_while

    def notify(self) -> None:
        while (job := self.jobs.get()) is not None:
            job()
            if self.jobs.qsize() > len(self.registered):
                job()


class AtMostTwo(Client):
    """The third subscription and all later ones get no pushes."""

    timeout = NOT_FOUND

    def register(self, registration: Registration) -> None:
        super().register(registration)
        if len(self.registered) > 2:
            registration.live = False


class ImpatientCancel(Client):
    """``cancel`` waits for a running push, but not long enough."""

    a_while = 5 * BackendContract.a_while  # two SHORT_WAITs, and time for a slow machine

    def cancel(self, registration: Registration) -> None:
        with registration.idle:
            registration.live = False
            registration.idle.wait_for(lambda: not registration.running, SHORT_WAIT)
        self.registered.remove(registration)
        if not self.registered:
            self.end_thread(timeout=SHORT_WAIT)


class HangingCancel(Client):
    """``cancel`` during a long push never returns."""

    timeout = NOT_FOUND
    a_while = BackendContract.a_while

    def __init__(self) -> None:
        super().__init__()
        self.closed = threading.Event()

    def cancel(self, registration: Registration) -> None:
        with registration.idle:
            idle = registration.idle.wait_for(lambda: not registration.running, SHORT_WAIT)
        if not idle:
            self.closed.wait()
        super().cancel(registration)

    def close(self) -> None:
        super().close()
        self.closed.set()


class ForgetfulCancel(Client):
    """A cancelled subscription gets pushes as long as there are others."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = 0

    def cancel(self, registration: Registration) -> None:
        with self.lock:
            self.cancelled += 1
            if self.cancelled == len(self.registered):
                for each in self.registered:
                    each.detach()
                self.end_thread()
                self.registered = []
                self.cancelled = 0


class OneThreadOnly(Client):
    """``subscribe`` fails if two threads call it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.in_use = threading.Lock()

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        if not self.in_use.acquire(blocking=False):
            raise RuntimeError("in use")
        try:
            threading.Event().wait(0.01)  # gives the other thread time to call
            yield
        finally:
            self.in_use.release()

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        with self.using():
            return super().subscribe(sink, initial=initial)


class ThreadLeft(Client):
    """The notifying thread is kept alive for the next subscription."""

    timeout = NOT_FOUND

    def end_thread(self, timeout: float | None = None) -> None:
        pass

    def close(self) -> None:
        super().end_thread()


class StalePort(Client):
    """``get_port`` remembers the first port that it returned."""

    def get_port(self) -> int | None:
        if not hasattr(self, "remembered"):
            self.remembered = self.port
        return self.remembered


class ZeroAnswered(Client):
    """``get_port`` returns 0 for "no port"."""

    def get_port(self) -> int | None:
        return self.port or 0


class ZeroPushed(Client):
    """0 is pushed for "no port"."""

    def change(self, port: int | None) -> None:
        super().change(port or 0)

    def get_port(self) -> int | None:
        return self.port or None


class RegisteredAndRaised(Client):
    """``subscribe`` raises after it has registered the sink."""

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        refusing, self.refusing = self.refusing, False
        registration = super().subscribe(sink, initial=initial)
        if refusing:
            raise ERROR
        return registration


class RefusedForGood(Client):
    """After one ``subscribe`` has failed, all later ones fail."""

    def refuse(self, on: bool) -> None:
        self.refusing = True


class FailedTwice(Client):
    """``fail`` is called twice for one failure."""

    def fail(self) -> None:
        super().fail()
        super().fail()


class PushedAfterFail(Client):
    """A subscription that has failed still gets pushes."""

    def fail(self) -> None:
        for registration in self.registered:
            self.jobs.put(partial(registration.sink.fail, ERROR))


RULES_BROKEN: Final[dict[type[Client], str]] = {
    WithoutInitial: "test_initial_push_comes_before_subscribe_returns",
    LateInitial: "test_initial_push_comes_before_subscribe_returns",
    InitialWithoutPort: "test_initial_push_comes_before_subscribe_returns",
    InitialTwice: "test_initial_push_comes_before_subscribe_returns",
    InitialAsChange: "test_initial_push_comes_before_subscribe_returns",
    UnaskedInitial: "test_without_initial_only_changes_are_pushed",
    Overlapping: "test_pushes_never_overlap",
    LastInFirstOut: "test_order_is_that_of_the_changes",
    Doubling: "test_order_is_that_of_the_changes",
    AtMostTwo: "test_each_subscription_gets_each_change",
    ImpatientCancel: "test_cancel_waits_for_a_running_push",
    HangingCancel: "test_cancel_waits_for_a_running_push",
    ForgetfulCancel: "test_nothing_is_pushed_after_cancel",
    OneThreadOnly: "test_two_threads_subscribe_and_cancel_at_once",
    ThreadLeft: "test_no_thread_is_left_behind",
    RegisteredAndRaised: "test_failed_subscribe_leaves_nothing_registered",
    RefusedForGood: "test_failed_subscribe_leaves_nothing_registered",
    FailedTwice: "test_failure_is_reported_once_and_last",
    PushedAfterFail: "test_failure_is_reported_once_and_last",
}
"""The rule that each faulty backend must fail, with ports and with addresses."""

PORT_RULES_BROKEN: Final[dict[type[Client], str]] = {
    StalePort: "test_get_port_is_that_of_the_last_change",
    ZeroAnswered: "test_no_port_is_none_and_never_0",
    ZeroPushed: "test_no_port_is_none_and_never_0",
}
"""The rule about ports only that each faulty backend must fail."""
