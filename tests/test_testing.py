"""The conformance suite: every backend of ours passes it, and each rule can fail.

A suite that never fails proves nothing. So there is a backend here that is right and as
short as can be, and one more for each mistake; a mistake must fail the test of its own
rule and no other, or a third party could not tell from the test's name what is wrong.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from aioteredo import BackendError, NotificationType, SimulatedBackend
from aioteredo._backend import Sink
from aioteredo.testing import BackendContract, Driver

from .native import INLINE, ON_DEMAND, OTHER_THREAD, StandIn
from .waiting import limit, start_thread

ERROR = BackendError("NotifyTeredoPortChange", 8)
PATIENCE = BackendContract.a_while / 3
INITIAL, PARAMETER = NotificationType.INITIAL, NotificationType.PARAMETER


# the built-in backends


class TestSimulatedBackend(BackendContract):
    @pytest.fixture
    def driver(self) -> Iterator[Driver]:
        def refuse(on: bool) -> None:
            if on:
                client.fail_next_subscribe(ERROR)

        with SimulatedBackend() as client:
            yield Driver(client, client.set_port, refuse, lambda: client.fail(ERROR))


class TestIphlpapiBackend(BackendContract):
    """It has no failure later than subscribe: a callback brings its port with it."""

    @pytest.fixture(params=[INLINE, OTHER_THREAD, ON_DEMAND])
    def initial_mode(self, request: pytest.FixtureRequest) -> int:
        return int(request.param)

    @pytest.fixture
    def driver(self, stand_in: StandIn, initial_mode: int) -> Driver:
        def change(port: int | None) -> None:
            stand_in.fire(port or 0, 1, threads=1, overlapping=True)

        def refuse(on: bool) -> None:
            stand_in.fail("NotifyTeredoPortChange", 8 * on, after_the_callback=True)

        stand_in.set_initial(initial_mode)
        return Driver(stand_in.backend, change, refuse)


if sys.platform == "linux":
    import errno

    from aioteredo import MiredoBackend
    from aioteredo.backends import _miredo_subscription
    from aioteredo.backends._inet_diag import CloseListener

    from .test_miredo import UID, bound, tunnel
    from .test_miredo import netns as netns  # a fixture is found by its name here

    class TestMiredoBackend(BackendContract):
        @pytest.fixture
        def driver(self, netns: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
            client = contextlib.ExitStack()

            def change(port: int | None) -> None:
                client.close()
                if port is not None:
                    with tunnel():
                        client.enter_context(bound(port))

            def refuse(on: bool) -> None:
                listener = refused if on else CloseListener
                monkeypatch.setattr(_miredo_subscription, "CloseListener", listener)

            def refused() -> None:
                raise BackendError("socket(AF_NETLINK)", errno.EMFILE, "errno")

            def fail() -> None:
                for subscription in _miredo_subscription._subscriptions:
                    subscription._table.close()
                change(None)

            with client:
                yield Driver(MiredoBackend(uid=UID), change, refuse, fail)


# a backend that is right


class Client:
    """A backend with its client: one thread notifies, while there are subscriptions."""

    timeout = BackendContract.timeout
    a_while = 0.01  # what is right waits in vain

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


class Registration:
    def __init__(self, client: Client, sink: Sink) -> None:
        self.client, self.sink = client, sink
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


# backends that are wrong, each in one thing


class WithoutInitial(Client):
    """The initial notification is forgotten."""

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        return super().subscribe(sink, initial=False)


class LateInitial(Client):
    """The initial notification comes with the first change."""

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
    """The system's 0, which says "registered", is taken for "no port"."""

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        if initial:
            sink.push(None, INITIAL)
        return super().subscribe(sink, initial=False)


class InitialTwice(Client):
    """The system's initial notification is not swallowed after our own."""

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
    """The initial notification comes also where nobody asked for it."""

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        return super().subscribe(sink, initial=True)


class Overlapping(Client):
    """Whoever makes a change notifies of it."""

    a_while = BackendContract.a_while

    def change(self, port: int | None) -> None:
        self.port = port
        for registration in list(self.registered):
            registration.deliver(port, PARAMETER)


class LastInFirstOut(Client):
    """What has piled up is delivered from its end."""

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
    """When changes pile up, some are delivered twice."""

    a_while = BackendContract.a_while

    def notify(self) -> None:
        while (job := self.jobs.get()) is not None:
            job()
            if self.jobs.qsize() > len(self.registered):
                job()


class AtMostTwo(Client):
    """There is room for two subscriptions, and the third hears nothing."""

    timeout = 2.0  # it shows by hanging

    def register(self, registration: Registration) -> None:
        super().register(registration)
        if len(self.registered) > 2:
            registration.live = False


class ImpatientCancel(Client):
    """Cancelling waits for a push, but not for long."""

    a_while = 5 * BackendContract.a_while  # two PATIENCEs, and what a machine is late

    def cancel(self, registration: Registration) -> None:
        with registration.idle:
            registration.live = False
            registration.idle.wait_for(lambda: not registration.running, PATIENCE)
        self.registered.remove(registration)
        if not self.registered:
            self.end_thread(timeout=PATIENCE)


class HangingCancel(Client):
    """Cancelling during a push that takes its time never returns."""

    timeout = 2.0  # it shows by hanging
    a_while = BackendContract.a_while

    def __init__(self) -> None:
        super().__init__()
        self.closed = threading.Event()

    def cancel(self, registration: Registration) -> None:
        with registration.idle:
            idle = registration.idle.wait_for(lambda: not registration.running, PATIENCE)
        if not idle:
            self.closed.wait()
        super().cancel(registration)

    def close(self) -> None:
        super().close()
        self.closed.set()


class ForgetfulCancel(Client):
    """What is cancelled is notified as long as others are subscribed."""

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
                self.registered, self.cancelled = [], 0


class OneThreadOnly(Client):
    """Two threads at once are more than it can stand."""

    def __init__(self) -> None:
        super().__init__()
        self.in_use = threading.Lock()

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        if not self.in_use.acquire(blocking=False):
            raise RuntimeError("in use")
        try:
            threading.Event().wait(0.01)  # long enough for the other thread to come
            yield
        finally:
            self.in_use.release()

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        with self.using():
            return super().subscribe(sink, initial=initial)


class ThreadLeft(Client):
    """The notifying thread is kept for the next subscription."""

    timeout = 2.0  # it shows by hanging

    def end_thread(self, timeout: float | None = None) -> None:
        pass

    def close(self) -> None:
        super().end_thread()


class StalePort(Client):
    """The port is asked for once, and remembered."""

    def get_port(self) -> int | None:
        if not hasattr(self, "remembered"):
            self.remembered = self.port
        return self.remembered


class ZeroAnswered(Client):
    """No port is 0 to those who ask."""

    def get_port(self) -> int | None:
        return self.port or 0


class ZeroPushed(Client):
    """No port is 0 to those who are notified."""

    def change(self, port: int | None) -> None:
        super().change(port or 0)

    def get_port(self) -> int | None:
        return self.port or None


class RegisteredAndRaised(Client):
    """Subscribing fails after it has registered."""

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        refusing, self.refusing = self.refusing, False
        registration = super().subscribe(sink, initial=initial)
        if refusing:
            raise ERROR
        return registration


class RefusedForGood(Client):
    """Once subscribing has failed it goes on to do so."""

    def refuse(self, on: bool) -> None:
        self.refusing = True


class FailedTwice(Client):
    """Two places tell of one failure."""

    def fail(self) -> None:
        super().fail()
        super().fail()


class PushedAfterFail(Client):
    """A subscription that has failed is still notified."""

    def fail(self) -> None:
        for registration in self.registered:
            self.jobs.put(partial(registration.sink.fail, ERROR))


WRONG: dict[type[Client], str] = {
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
    StalePort: "test_get_port_is_that_of_the_last_change",
    ZeroAnswered: "test_no_port_is_none_and_never_0",
    ZeroPushed: "test_no_port_is_none_and_never_0",
    RegisteredAndRaised: "test_failed_subscribe_leaves_nothing_registered",
    RefusedForGood: "test_failed_subscribe_leaves_nothing_registered",
    FailedTwice: "test_failure_is_told_once_and_last",
    PushedAfterFail: "test_failure_is_told_once_and_last",
}
RULES = {name for name in dir(BackendContract) if name.startswith("test_")}
OUTCOMES = ("passed", "skipped", "failed")
NONE: set[str] = set()


class TheirProject:
    """A project of its own: a class for each backend, and what became of each rule."""

    def __init__(self, pytester: pytest.Pytester, *, faults: bool = True) -> None:
        self.pytester, self.faults = pytester, faults

    @pytest.fixture
    def driver(self, request: pytest.FixtureRequest) -> Iterator[Driver]:
        with contextlib.closing(request.cls.client()) as client:
            if self.faults:
                yield Driver(client, client.change, client.refuse, client.fail)
            else:
                yield Driver(client, client.change)

    def run(self, *kinds: type[Client]) -> dict[str, dict[str, set[str]]]:
        code = ["from aioteredo.testing import BackendContract", f"import {__name__} as m"]
        for kind in kinds:
            code += [f"class Test{kind.__name__}(BackendContract):"]
            code += [f"    client = m.{kind.__name__}"]
            code += ["    timeout, a_while = client.timeout, client.a_while"]
        self.pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
        self.pytester.makepyfile("\n".join(code))
        run = self.pytester.inline_run("-p", "no:cacheprovider", plugins=[self])
        outcomes: dict[str, dict[str, set[str]]] = {}
        for outcome, reports in zip(OUTCOMES, run.listoutcomes(), strict=True):
            for report in reports:
                _, name, rule = report.nodeid.split("::")
                became = outcomes.setdefault(
                    name.removeprefix("Test"), {each: set() for each in OUTCOMES}
                )
                became[outcome].add(rule)
        return outcomes


def expected(*, skipped: set[str] = NONE, failed: set[str] = NONE) -> dict[str, set[str]]:
    passed = RULES - skipped - failed
    return {"passed": passed, "skipped": skipped, "failed": failed}


def test_backend_that_is_right_passes(pytester: pytest.Pytester) -> None:
    """A backend that keeps the contract passes every rule."""
    assert TheirProject(pytester).run(Client) == {"Client": expected()}


def test_driver_without_faults_skips_the_rules_about_them(
    pytester: pytest.Pytester,
) -> None:
    """What a driver cannot provoke is skipped, and all else is checked."""
    skipped = {
        "test_failed_subscribe_leaves_nothing_registered",
        "test_failure_is_told_once_and_last",
    }
    seen = TheirProject(pytester, faults=False).run(Client)
    assert seen == {"Client": expected(skipped=skipped)}


@pytest.mark.timeout(300)
def test_mistake_fails_its_own_rule_only(pytester: pytest.Pytester) -> None:
    """A backend with one mistake fails the rule about it, and passes the others."""
    seen = TheirProject(pytester).run(*WRONG)
    wrong = {kind.__name__: rule for kind, rule in WRONG.items()}
    assert {name: seen[name]["failed"] for name in seen} == {n: {wrong[n]} for n in wrong}
    assert seen == {name: expected(failed={wrong[name]}) for name in wrong}


def test_each_rule_can_fail() -> None:
    """There is a mistake for each rule, so no rule passes whatever comes."""
    assert set(WRONG.values()) == RULES


def test_pytest_is_imported_by_the_suite_only() -> None:
    """A program that uses the package does not import pytest with it."""
    code = "import sys, aioteredo; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=limit())
