"""The threads that watches of a shared registration need to open and to close."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any, cast

import anyio
import pytest
from anyio import wait_all_tasks_blocked

from aioteredo import (
    Backend,
    NotificationType,
    PortEvent,
    _registration,
    _threads,
    watch_teredo_port,
)
from aioteredo._loop import EventLoop, current_loop
from aioteredo._new_thread import start_thread as start_package_thread
from aioteredo._parking import ParkingSpot
from aioteredo._registration import Registration
from aioteredo._registry import registry
from aioteredo._shared_subscription import SharedSubscribe

from ..support.manual_backend import ManualBackend
from ..support.sinks import RecordingSink
from ..support.waiting import eventually, join, limit, start_thread
from .sharing import A_WHILE, HeldCall, manual_backend, push_in_progress, refuse_threads

every_loop = pytest.mark.every_loop


@every_loop
@pytest.mark.parametrize("initial", [False, True])
async def test_watch_on_a_live_registration_opens_and_closes_without_a_thread(
    monkeypatch: pytest.MonkeyPatch, initial: bool
) -> None:
    """If the system refuses new threads, watches still join and leave, in any order."""
    backend, shared = manual_backend()
    first = watch_teredo_port(initial=True, backend=shared)
    last = watch_teredo_port(initial=initial, backend=shared)
    await first.__aenter__()

    with monkeypatch.context() as patch:
        refuse_threads(patch)
        async with watch_teredo_port(initial=initial, backend=shared) as events:
            await last.__aenter__()
            backend.push(7)
            expected = [PortEvent(1000, NotificationType.INITIAL)] * initial
            for event in [*expected, PortEvent(7)]:
                assert await events.receive() == event
        await first.__aexit__(None, None, None)

    await last.__aexit__(None, None, None)
    assert (backend.subscribed, backend.cancelled) == (1, 1)


@every_loop
async def test_registry_is_free_while_a_loop_is_asked_whether_it_is_closed() -> None:
    """Asking takes time on trio, and a watch of another loop would take a thread."""

    def try_lock() -> None:
        if was_free := registry.lock.acquire(blocking=False):
            registry.lock.release()
        free.append(was_free)

    def is_closed() -> bool:
        join(start_thread(try_lock))
        return False

    free: list[bool] = []
    other_loop = dataclasses.replace(current_loop(), native=object(), is_closed=is_closed)
    registration = Registration(other_loop)
    _, shared = manual_backend()
    subscription = shared.subscribe(RecordingSink(), initial=False)
    registry.add(registration, other_loop, subscription)
    try:
        # The first one opens and closes without a thread, and the second one with threads.
        for backend in (shared, ManualBackend()):
            free.clear()
            async with watch_teredo_port(backend=backend):
                pass
            assert free
            assert all(free)
    finally:
        registry.remove(registration, other_loop)
        subscription.cancel()


@every_loop
async def test_other_tasks_run_while_a_watch_that_opens_waits_for_a_push() -> None:
    """A watch that opens during a push waits on a thread, and then gets the newest port."""
    backend, shared = manual_backend()
    opened = False
    released = False

    async def use() -> None:
        nonlocal opened
        async with watch_teredo_port(initial=True, backend=shared) as events:
            opened = True
            assert released
            assert await events.receive() == PortEvent(7, NotificationType.INITIAL)

    with push_in_progress(backend, shared) as release:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use)
            await wait_all_tasks_blocked()
            assert not opened
            released = True
            release()


@every_loop
async def test_other_tasks_run_while_a_watch_that_closes_waits_for_a_push() -> None:
    """A watch that closes during a push waits on a thread: no push comes after that."""
    backend, shared = manual_backend()
    watch = watch_teredo_port(backend=shared)
    await watch.__aenter__()
    released = False

    async def leave() -> None:
        await watch.__aexit__(None, None, None)
        assert released

    with push_in_progress(backend, shared) as release:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(leave)
            await wait_all_tasks_blocked()
            released = True
            release()


@every_loop
async def test_tasks_that_open_while_another_one_registers_wait_without_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of many tasks that open at once, one calls the backend and the others just wait."""
    backend, shared, may_return = backend_that_hangs()
    opened = 0
    all_opened = anyio.Event()

    async def use() -> None:
        nonlocal opened
        async with watch_teredo_port(initial=True, backend=shared) as events:
            opened += 1
            if opened == 51:
                all_opened.set()
            assert await events.receive() == PortEvent(1000, NotificationType.INITIAL)
            await all_opened.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await eventually(lambda: backend.subscribed, "the first watch registers")
        threads = count_threads(monkeypatch)
        for _ in range(50):
            tasks.start_soon(use)
        await wait_all_tasks_blocked()
        assert (opened, threads) == (0, [])
        may_return.set()
        await all_opened.wait()

        # A task that finds a lock in use at this moment takes a thread.
        assert len(threads) < 10

    assert (backend.subscribed, backend.reads, backend.cancelled) == (1, 1, 1)


def count_threads(patch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that gets an entry for each thread that a watch starts from now on."""
    started: list[object] = []

    def counted(target: Callable[[], object]) -> threading.Thread:
        started.append(target)
        return start_package_thread(target)

    patch.setattr(_threads, "start_thread", counted)
    return started


@every_loop
async def test_tasks_that_stop_waiting_for_a_client_that_hangs_are_forgotten() -> None:
    """A service that tries again at intervals does not grow while the client hangs."""
    backend, shared, may_return = backend_that_hangs()

    async def use() -> None:
        async with watch_teredo_port(backend=shared):
            assert may_return.is_set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await eventually(lambda: backend.subscribed, "the first watch registers")
        for _ in range(3):
            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(use)
                await wait_all_tasks_blocked()
                assert count_waiting(shared) == 1
                cancelled.cancel_scope.cancel()
            assert count_waiting(shared) == 0
        may_return.set()


def backend_that_hangs() -> tuple[ManualBackend, Backend, threading.Event]:
    """Return a backend, its shared form, and an event until which it does not register."""
    backend, shared = manual_backend()
    held = HeldCall()
    backend.on_subscribe = held
    return backend, shared, held.may_return


def count_waiting(shared: Backend) -> int:
    current = cast("SharedSubscribe[Any]", shared.subscribe).current
    assert current is not None
    return len(current._waiting)


@every_loop
async def test_task_is_woken_although_the_first_wake_up_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wake-up that cannot be posted at first does not leave the task asleep."""
    backend, shared, may_return = backend_that_hangs()
    failures = [MemoryError()]

    def failing_spot(loop: EventLoop) -> ParkingSpot:
        spot = ParkingSpot(loop)
        wake = spot.wake

        def failing_wake() -> bool:
            if failures:
                raise failures.pop()
            return wake()

        spot.wake = failing_wake
        return spot

    async def use() -> None:
        async with watch_teredo_port(backend=shared):
            pass

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await eventually(lambda: backend.subscribed, "the first watch registers")
        monkeypatch.setattr(_registration, "ParkingSpot", failing_spot)
        tasks.start_soon(use)
        await wait_all_tasks_blocked()
        may_return.set()

    assert failures == []


@every_loop
async def test_task_that_waits_for_another_one_to_register_can_be_cancelled() -> None:
    """The cancellation takes effect at once, and the watch of the other task opens."""
    backend, shared, may_return = backend_that_hangs()

    async def use() -> None:
        async with watch_teredo_port(backend=shared):
            assert may_return.is_set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await eventually(lambda: backend.subscribed, "the first watch registers")
        async with anyio.create_task_group() as cancelled:
            cancelled.start_soon(use)
            await wait_all_tasks_blocked()
            cancelled.cancel_scope.cancel()
        may_return.set()

    assert (backend.subscribed, backend.cancelled) == (1, 1)


def test_backend_that_waits_for_a_push_of_another_thread_can_register() -> None:
    """A push takes no lock that is held while the backend registers or cancels."""
    backend, shared = manual_backend()

    def push_on_another_thread() -> None:
        join(start_thread(lambda: backend.push(7)))

    backend.on_subscribe = push_on_another_thread
    sink = RecordingSink()
    subscription = shared.subscribe(sink, initial=True)
    assert sink.pushed == [(7, NotificationType.INITIAL)]

    late = shared.subscribe(RecordingSink(), initial=False)
    subscription.cancel()
    backend.on_cancel = lambda: join(start_thread(lambda: backend.push(8)))
    late.cancel()
    assert backend.cancelled == 1


def test_watch_does_not_wait_while_the_port_is_read_for_another_one() -> None:
    """No lock that another watch needs is held during a call of ``get_port()``."""
    backend, shared = manual_backend()
    first = shared.subscribe(RecordingSink(), initial=False)
    held = HeldCall()
    backend.on_get = held
    reader = start_thread(lambda: shared.subscribe(RecordingSink(), initial=True).cancel())
    assert held.begun.wait(limit())

    def use() -> None:
        sink = RecordingSink()
        subscription = shared.subscribe(sink, initial=False)
        backend.push(7)
        assert sink.take() == (7, NotificationType.PARAMETER)
        subscription.cancel()

    other = start_thread(use)
    other.join(limit() / 4)
    waited = other.is_alive()
    held.may_return.set()
    join(reader, other)
    first.cancel()
    assert not waited


def test_subscription_is_cancelled_only_after_a_push_that_is_running() -> None:
    """After ``cancel()`` no push runs any more, not even one that had begun before."""
    backend, shared = manual_backend()
    sink = RecordingSink()
    subscription = shared.subscribe(sink, initial=False)
    with push_in_progress(backend, shared):
        cancelling = start_thread(subscription.cancel)
        cancelling.join(A_WHILE)
        waited = cancelling.is_alive()
    join(cancelling)
    assert waited
