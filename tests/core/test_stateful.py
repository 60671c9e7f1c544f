"""Random stories of watches, loops and faults, against a model of what is promised.

The other tests tell one situation each. This one draws situations after each other:
watches on several event loops, in this thread and in others, are opened, read, closed,
cancelled and dropped while the client changes and fails and loops close under them. The
model is small because it keeps no buffer: it knows all that was pushed to a watch and
the number of the last event taken, and the next one follows from the two.

Nothing is awaited here that the model has not promised, so a lost wake-up ends in a
timeout and not in a hang.

Hypothesis draws the stories, but as a seed each (``use_true_random``). Its state machine
draws by what has happened, and some steps are a race: replays would differ. Drawing each
choice itself, it likes the first one best, opens few watches, and did not notice a
wake-up flag that was never cleared; by seeds it does. What is drawn depends on nothing
but the draws before: a rule that finds nothing to do does nothing.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import itertools
import random
import threading
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import pytest
from anyio import BusyResourceError, CancelScope, ClosedResourceError
from anyio.from_thread import start_blocking_portal
from anyio.lowlevel import checkpoint
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aioteredo import (
    BackendError,
    BackendFailedError,
    NotificationType,
    PortEvent,
    PortEventStream,
    SimulatedBackend,
    TeredoError,
    _registration,
    watch_teredo_port,
)

from ..support.loops import ASYNCIO_LOOPS
from ..support.waiting import eventually, in_time, limit, wait_until

T = TypeVar("T")


# event loops


class OwnThreadLoop:
    """An asyncio loop in the test's thread: it runs only when told, so all is in order."""

    exact = True

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._runner = asyncio.Runner(loop_factory=factory)
        self._runner.get_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, func: Callable[[], Awaitable[T]]) -> T:
        return self._runner.run(in_time(func, "a step of the story"))

    def spawn(self, func: Callable[[], Any]) -> None:
        async def main() -> None:
            self._tasks.add(task := asyncio.ensure_future(func()))
            task.add_done_callback(self._tasks.discard)

        self.run(main)

    def close(self) -> None:
        self._runner.close()


class OtherThreadLoop:
    """A loop in a thread of its own: it runs at any time."""

    exact = False

    def __init__(self, backend: str) -> None:
        self._context = start_blocking_portal(backend)
        self._portal = self._context.__enter__()

    def run(self, func: Callable[[], Awaitable[T]]) -> T:
        return self._portal.start_task_soon(func).result(limit())

    def spawn(self, func: Callable[[], Any]) -> None:
        self._portal.start_task_soon(func)

    def close(self) -> None:
        self._portal.call(self._portal.stop, True)
        self._context.__exit__(None, None, None)


Loop = OwnThreadLoop | OtherThreadLoop

LOOPS: dict[str, Callable[[], Loop]] = {
    "asyncio elsewhere": lambda: OtherThreadLoop("asyncio"),
    "trio elsewhere": lambda: OtherThreadLoop("trio"),
}
for name, factory in ASYNCIO_LOOPS.items():
    LOOPS[name] = lambda factory=factory: OwnThreadLoop(factory)  # type: ignore[misc]


async def turns(number: int = 4) -> None:
    for _ in range(number):
        await checkpoint()


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("aioteredo")]


def one_of(choices: list[T], pick: int) -> T | None:
    return choices[pick % len(choices)] if choices else None


def current_asyncio_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # this is trio
        return None


class Attempt:
    """A call in a task of its own, which can be cancelled, and what came of it."""

    def __init__(self, func: Callable[[], Awaitable[object]]) -> None:
        self._func: Callable[[], Awaitable[object]] | None = func
        self._task: asyncio.Task[Any] | None = None
        self.scope: CancelScope | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self.done = False

    async def run(self) -> None:
        assert self._func is not None
        self._task = current_asyncio_task()
        try:
            with CancelScope() as self.scope:
                try:
                    self.value = await self._func()
                except BaseException as error:
                    # a traceback would keep the watch, which is to be dropped
                    self.error = error.with_traceback(None)
                    if not isinstance(error, Exception):
                        raise
        except asyncio.CancelledError:
            pass  # natively
        finally:
            self._func = None
            self.done = True

    async def wait_until_begun(self) -> None:
        await eventually(lambda: self.scope is not None, "a task begins")

    async def wait_until_done(self) -> None:
        await eventually(lambda: self.done, "a task ends")

    def cancel(self, natively: bool) -> None:
        if natively and self._task is not None:
            self._task.cancel()
        elif self.scope is not None:
            self.scope.cancel()

    @property
    def cancelled(self) -> bool:
        return self.error is not None and not isinstance(self.error, Exception)


# the model


class Watch:
    """What one watch was told and what was taken from it."""

    _numbers = itertools.count(1)

    def __init__(self, loop: Loop, size: int) -> None:
        self.loop: Loop | None = loop  # None: closed
        self.size = size
        self.number = next(self._numbers)
        self.context: Any = None
        self.stream: PortEventStream | None = None
        self.history: list[tuple[int | None, int]] = []
        self.last = 0
        self.time = 0
        self.error: BackendError | None = None
        self.counted = True  # by the client
        self.live = True  # somebody must cancel it
        self.left_behind = False  # its loop was closed, and it was cancelled for that
        self.closed = False
        self.receiver: Attempt | None = None

    def __repr__(self) -> str:
        return f"watch {self.number}"

    def pushed(self, port: int | None, kind: int) -> None:
        if self.counted and self.error is None:
            self.history.append((port, kind))

    @property
    def ready(self) -> bool:
        return not self.closed and self.last < len(self.history)

    @property
    def next(self) -> int:
        return max(self.last + 1, len(self.history) - self.size + 1)

    def took(self, event: PortEvent, *, early: bool = False) -> None:
        """Check *event*; *early*: it may have been taken before all were pushed."""
        number = self.last + event.missed + 1
        assert number <= self.next if early else number == self.next
        assert event.missed >= 0
        assert (event.port, event.notification_type) == self.history[number - 1]
        assert event.monotonic_ns >= self.time
        self.last, self.time = number, event.monotonic_ns

    def raised(self, error: BaseException | None) -> None:
        """Check that *error* is what there is to raise when no event is left."""
        if self.closed:
            assert type(error) is ClosedResourceError
            return
        assert not self.ready
        assert self.error is not None
        assert type(error) is BackendFailedError
        assert error is not self.error  # each consumer gets one of its own
        closed = error.errno == self.error.errno == errno.ESHUTDOWN
        assert str(error) == str(self.error) or closed


class Watches:
    """The rules: each does one thing to the package and to the model."""

    def __init__(self) -> None:
        self.threads = set(threading.enumerate())
        self.client = SimulatedBackend(1000, seed=1)
        self.port: int | None = 1000
        self.subscribe_fault: TeredoError | None = None
        self.cancel_fault: BackendError | None = None
        self.loops: list[Loop] = []
        self.watches: list[Watch] = []

    # what the rules are about

    def on_a_loop(self) -> list[Watch]:
        return [watch for watch in self.watches if watch.loop is not None]

    def waiting(self) -> list[Watch]:
        return [watch for watch in self.watches if watch.receiver is not None]

    def take_cancel_fault(self) -> BackendError | None:
        fault, self.cancel_fault = self.cancel_fault, None
        return fault

    def settle(self) -> None:
        """Receivers that have something to get get it."""
        for watch in self.waiting():
            assert watch.loop is not None
            assert watch.receiver is not None
            if not (watch.closed or watch.ready or watch.error):
                continue
            receiver, watch.receiver = watch.receiver, None
            watch.loop.run(receiver.wait_until_done)
            self.received(watch, receiver, early=not watch.loop.exact)

    def received(self, watch: Watch, receiver: Attempt, *, early: bool = False) -> None:
        if receiver.error is None:
            assert not watch.closed
            watch.took(receiver.value, early=early)
        else:
            watch.raised(receiver.error)

    # loops

    def open_loop(self, kind: str) -> None:
        if len(self.loops) < 3:
            self.loops.append(LOOPS[kind]())

    def close_loop(self, pick: int) -> None:
        if len(self.loops) == 1:
            return
        loop = self.loops.pop(pick % len(self.loops))
        loop.close()
        left_behind = [watch for watch in self.watches if watch.loop is loop]
        for watch in left_behind:
            watch.loop = None
            if watch.receiver is not None:
                assert watch.receiver.cancelled
                watch.receiver = None

        # The next watch that opens or closes would do this, in an order that the model
        # cannot know.
        _registration._cancel_orphans()
        if any(watch.live for watch in left_behind):
            self.take_cancel_fault()
        for watch in left_behind:
            watch.left_behind = watch.live
            watch.live = watch.counted = False

    # opening

    def open(
        self,
        pick: int,
        initial: bool,
        size: int,
        cancel: tuple[int, int, bool] | None,
    ) -> None:
        if len(self.watches) == 6:
            return
        loop = self.loops[pick % len(self.loops)]
        watch = Watch(loop, size)
        watch.context = watch_teredo_port(
            initial=initial, max_buffer_size=size, backend=self.client
        )
        attempt = self.attempt(loop, watch.context.__aenter__, cancel)
        fault, self.subscribe_fault = self.subscribe_fault, None
        if fault is not None:
            if attempt.cancelled:
                assert attempt.error is not None
                assert attempt.error.__cause__ is fault
            else:
                assert attempt.error is fault
            return
        if attempt.error is None:
            watch.stream = attempt.value
            attempt.value = None  # the other thread may hold the attempt for a while
            if initial:
                watch.pushed(self.port, NotificationType.INITIAL)
            self.watches.append(watch)
            return
        assert cancel is not None
        assert attempt.cancelled
        if (fault := self.take_cancel_fault()) is not None:
            notes = getattr(attempt.error, "__notes__", [])
            assert attempt.error.__cause__ is fault or str(fault) in notes[0]

    def attempt(
        self,
        loop: Loop,
        func: Callable[[], Awaitable[object]],
        cancel: tuple[int, int, bool] | None,
    ) -> Attempt:
        attempt = Attempt(func)
        if cancel is None:
            loop.run(attempt.run)
            return attempt
        number, times, natively = cancel

        async def main() -> None:
            loop_task = current_asyncio_task()
            if loop_task is None:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(attempt.run)
                    await harass()
                return
            task = asyncio.ensure_future(attempt.run())
            await harass()
            await asyncio.wait([task])

        async def harass() -> None:
            await attempt.wait_until_begun()
            for _ in range(times):
                await turns(number)
                attempt.cancel(natively)

        loop.run(main)
        assert attempt.done
        return attempt

    # closing

    def close(self, pick: int, way: str, cancel: tuple[int, int, bool] | None) -> None:
        if watch := one_of(self.on_a_loop(), pick):
            self.close_one(watch, way, cancel)

    def close_one(
        self, watch: Watch, way: str, cancel: tuple[int, int, bool] | None = None
    ) -> None:
        assert watch.loop is not None
        assert watch.stream is not None
        exc = ZeroDivisionError() if way == "raise" else None
        leave = watch.context.__aexit__
        attempt = self.attempt(
            watch.loop,
            watch.stream.aclose if way == "aclose" else lambda: leave(type(exc), exc, None),
            cancel,
        )
        fault = self.take_cancel_fault() if watch.live else None
        watch.live = watch.counted = False
        watch.closed = True
        if attempt.cancelled:
            assert cancel is not None
            assert attempt.error is not None
            if fault is not None:
                assert attempt.error.__cause__ is fault
        elif fault is None or exc is not None:
            assert attempt.error is None
        else:
            assert attempt.error is fault
        if exc is not None and not attempt.cancelled:
            notes = getattr(exc, "__notes__", [])
            assert notes == ([f"while closing the watch: {fault}"] if fault else [])
        self.settle()

    def destroy_task(self, pick: int) -> None:
        """The block is left by GeneratorExit, whether or not there is a loop."""
        if watch := one_of(self.watches, pick):
            self.destroy_one(watch)
            self.settle()

    def destroy_one(self, watch: Watch) -> None:
        leaving = watch.context.__aexit__(GeneratorExit, GeneratorExit(), None)
        with pytest.raises(StopIteration):
            leaving.send(None)
        self.cancelled_by_a_thread(watch)
        watch.closed = True
        watch.left_behind = False

    def cancelled_by_a_thread(self, watch: Watch) -> None:
        if not watch.live:
            return
        watch.live = watch.counted = False
        counted = sum(other.counted for other in self.watches)
        live = sum(other.live for other in self.watches)
        wait_until(
            lambda: len(_registration._subscriptions) == live,
            "the watch is not registered any more",
        )
        wait_until(
            lambda: self.client.subscriber_count == counted, "the watch is cancelled"
        )
        wait_until(
            lambda: bool(self.client._thread) == bool(counted),
            "the client has a thread for its watches only",
        )
        wait_until(lambda: self.client._cancel_error is None, "the fault is raised")
        self.take_cancel_fault()

    def drop(self, pick: int) -> None:
        """A watch is dropped: unclosed, it warns once, and a thread cancels it."""
        if watch := one_of([w for w in self.watches if w.receiver is None], pick):
            self.drop_one(watch)

    def drop_one(self, watch: Watch) -> None:
        if watch.error is not None:
            watch.error.__traceback__ = None
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            watch.stream = watch.context = None
            if not seen:
                gc.collect()
        unclosed = watch.live or watch.left_behind
        assert [w.category for w in seen] == [ResourceWarning] * unclosed
        self.watches.remove(watch)
        self.cancelled_by_a_thread(watch)

    # receiving

    def receive(self, pick: int, iterate: bool) -> None:
        if watch := one_of(self.on_a_loop(), pick):
            self.receive_one(watch, iterate)

    def drain(self, pick: int) -> None:
        watch = one_of(self.on_a_loop(), pick)
        while watch is not None and watch.ready:
            self.receive_one(watch, False)

    def receive_one(self, watch: Watch, iterate: bool) -> None:
        assert watch.loop is not None
        assert watch.stream is not None
        receive = watch.stream.__anext__ if iterate else watch.stream.receive
        attempt = Attempt(receive)
        if watch.closed or watch.ready or watch.error or watch.receiver:
            watch.loop.run(attempt.run)
            if watch.receiver is None:
                self.received(watch, attempt)
            else:
                assert type(attempt.error) is BusyResourceError
            return
        watch.receiver = attempt
        watch.loop.spawn(attempt.run)
        watch.loop.run(attempt.wait_until_begun)
        watch.loop.run(turns)

    def receive_while_another_waits(self, pick: int) -> None:
        if watch := one_of(self.waiting(), pick):
            self.receive_one(watch, False)

    def cancel(self, pick: int, natively: bool) -> None:
        """A task that waits is cancelled."""
        watch = one_of(self.waiting(), pick)
        if watch is None:
            return
        assert watch.loop is not None
        assert watch.receiver is not None
        receiver, watch.receiver = watch.receiver, None

        async def main() -> None:
            receiver.cancel(natively)
            await receiver.wait_until_done()

        watch.loop.run(main)
        assert receiver.cancelled

    def cancel_when_woken(
        self, pick: int, port: int | None, natively: bool, number: int
    ) -> None:
        """A task is cancelled as an event comes: it has taken it, or the event stays."""
        watch = one_of(self.waiting(), pick)
        if watch is None:
            return
        assert watch.loop is not None
        assert watch.receiver is not None
        receiver, watch.receiver = watch.receiver, None

        async def main() -> None:
            self.client.set_port(port)
            await turns(number)
            receiver.cancel(natively)
            await receiver.wait_until_done()

        watch.loop.run(main)
        self.changed([port])
        if not receiver.cancelled:
            self.received(watch, receiver)
        self.settle()

    # what the client does

    def changed(self, ports: list[int | None]) -> None:
        for self.port in ports:
            for watch in self.watches:
                watch.pushed(self.port, NotificationType.PARAMETER)

    def burst(self, ports: list[int | None]) -> None:
        self.client.burst(ports)
        self.changed(ports)
        self.settle()

    def change_on_a_loop(self, pick: int, port: int | None) -> None:
        """A control returns on the loop's own thread too."""

        async def main() -> None:
            self.client.set_port(port)

        self.loops[pick % len(self.loops)].run(main)
        self.changed([port])
        self.settle()

    def restart(self) -> None:
        port = self.client.restart()
        assert port != self.port
        self.changed([port])
        self.settle()

    def fail(self, code: int) -> None:
        error = BackendError("NotifyTeredoPortChange", code)
        self.client.fail(error)
        self.failed(error)

    def failed(self, error: BackendError) -> None:
        for watch in self.watches:
            if watch.counted and watch.error is None:
                watch.error = error
        self.settle()

    def end_client(self) -> None:
        """The client's ``with`` block ends; it can be used again."""
        self.client.close()
        self.failed(BackendError("", errno.ESHUTDOWN, "errno"))
        for watch in self.watches:
            watch.counted = False

    def fail_next_subscribe(self, code: int) -> None:
        self.subscribe_fault = BackendError("NotifyTeredoPortChange", code)
        self.client.fail_next_subscribe(self.subscribe_fault)

    def fail_next_cancel(self, code: int) -> None:
        self.cancel_fault = BackendError("CancelMibChangeNotify2", code)
        self.client.fail_next_cancel(self.cancel_fault)

    # what always holds

    def as_many_are_registered_as_are_open(self) -> None:
        counted = sum(watch.counted for watch in self.watches)
        assert self.client.subscriber_count == counted
        assert len(_registration._subscriptions) == sum(
            watch.live for watch in self.watches
        )
        assert self.client.get_port() == self.port
        # a thread that has delivered the end of its call may still be about to return
        wait_until(
            lambda: threads() == ["aioteredo simulated"] * bool(counted),
            "no other thread is left",
        )

    def who_has_nothing_to_get_waits(self) -> None:
        for watch in self.waiting():
            assert watch.loop is not None
            assert watch.receiver is not None
            watch.loop.run(turns)
            assert not watch.receiver.done

    def end(self) -> None:
        for watch in self.on_a_loop():
            self.close_one(watch, "leave")
        for watch in list(self.watches):
            self.drop_one(watch)
        assert self.client.subscriber_count == 0
        self.close_all()
        wait_until(lambda: set(threading.enumerate()) <= self.threads, "no thread is left")

    def give_up(self) -> None:
        """What went wrong here must not fail the next test too."""
        with suppress(AssertionError):
            for watch in self.watches:
                self.destroy_one(watch)
        self.close_all()

    def close_all(self) -> None:
        while self.loops:
            self.loops.pop().close()
        self.client.close()


# the stories


def port(chance: random.Random) -> int | None:
    return chance.choice([None, 1, 65535, chance.randint(1, 65535)])


def ports(chance: random.Random) -> list[int | None]:
    few = [port(chance) for _ in range(chance.randrange(7))]
    return chance.choice([few, few, few, [7, None] * 100])


def cancellation(chance: random.Random) -> tuple[int, int, bool] | None:
    """After so many turns, so many times, natively or by a scope; or none."""
    some = (chance.randint(1, 8), chance.randint(1, 3), chance.random() < 0.5)
    return chance.choice([None, some])


def among(*values: object) -> Callable[[random.Random], object]:
    return lambda chance: chance.choice(values)


PICK = among(*range(6))
EITHER = among(False, True)
CODE = among(6, 8, 31, 87)

RULES: dict[str, tuple[int, dict[str, Callable[[random.Random], object]]]] = {
    "open_loop": (2, {"kind": among(*LOOPS)}),
    "close_loop": (1, {"pick": PICK}),
    "open": (
        8,
        {
            "pick": PICK,
            "initial": EITHER,
            "size": among(1, 2, 3, 16, 1000),
            "cancel": cancellation,
        },
    ),
    "close": (
        2,
        {"pick": PICK, "way": among("leave", "aclose", "raise"), "cancel": cancellation},
    ),
    "destroy_task": (1, {"pick": PICK}),
    "drop": (3, {"pick": PICK}),
    "receive": (10, {"pick": PICK, "iterate": EITHER}),
    "drain": (2, {"pick": PICK}),
    "receive_while_another_waits": (2, {"pick": PICK}),
    "cancel": (3, {"pick": PICK, "natively": EITHER}),
    "cancel_when_woken": (
        4,
        {"pick": PICK, "port": port, "natively": EITHER, "number": among(0, 1, 2)},
    ),
    "burst": (5, {"ports": ports}),
    "change_on_a_loop": (3, {"pick": PICK, "port": port}),
    "restart": (2, {}),
    "fail": (1, {"code": CODE}),
    "end_client": (1, {}),
    "fail_next_subscribe": (1, {"code": CODE}),
    "fail_next_cancel": (2, {"code": CODE}),
}


def tell(chance: random.Random, steps: int = 60) -> None:
    """Tell a story by *chance*; if it ends badly, its steps are a note on the error."""
    watches = Watches()
    told = ["the story:"]
    weights = [weight for weight, _ in RULES.values()]
    try:
        watches.open_loop(chance.choice(list(LOOPS)))
        for name in chance.choices(list(RULES), weights, k=steps):
            arguments = {key: draw(chance) for key, draw in RULES[name][1].items()}
            told.append(f"    {name}(**{arguments})")
            getattr(watches, name)(**arguments)
            watches.as_many_are_registered_as_are_open()
            watches.who_has_nothing_to_get_waits()
        told.append("    end()")
        watches.end()
    except BaseException as error:
        error.add_note("\n".join(told))
        watches.give_up()
        raise


SETTINGS = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),  # a story is long, and takes its time
    # A story is drawn as a seed, and no shorter story comes of a smaller seed. Shrinking
    # would only tell failing stories, which wait in vain, over and over.
    phases=[Phase.generate],
)


@pytest.mark.timeout(300)  # seconds, but for a machine that does much else
@settings(SETTINGS, max_examples=30, derandomize=True)
@given(st.randoms(use_true_random=True))
def test_any_story_keeps_the_promises(chance: random.Random) -> None:
    """Whatever happens in whatever order, each watch does as the model says."""
    tell(chance)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(SETTINGS, max_examples=2000)
@given(st.randoms(use_true_random=True))
def test_many_stories_keep_the_promises(chance: random.Random) -> None:
    """So do a lot of stories that were never told before."""
    tell(chance)
