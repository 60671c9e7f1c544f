"""The hot path, without a thread where none is needed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import anyio
import pytest
from anyio import BusyResourceError, ClosedResourceError, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from aioteredo import BackendError, NotificationType, PortEvent
from aioteredo._loop import EventLoop, current_loop
from aioteredo._mailbox import BUDGET, Mailbox

every_loop = pytest.mark.every_loop


@every_loop
async def test_type_of_a_later_system() -> None:
    """A notification type that is not known stays an int."""
    mailbox = Mailbox(current_loop(), 4)
    mailbox.push(1, NotificationType.DELETE)
    mailbox.push(1, 77)
    assert (await mailbox.receive()).notification_type is NotificationType.DELETE
    assert (await mailbox.receive()).notification_type == 77


@every_loop
async def test_full() -> None:
    """The oldest goes; the next says how many went; then nothing is missed."""
    mailbox = Mailbox(current_loop(), 2)
    for port in (1, 2, 3, 4, 5):
        mailbox.push(port, 0)
    assert await mailbox.receive() == PortEvent(4, missed=3)
    assert await mailbox.receive() == PortEvent(5)
    mailbox.push(6, 0)
    assert await mailbox.receive() == PortEvent(6)


@every_loop
async def test_second_receiver() -> None:
    """While one task waits for an event, another gets BusyResourceError."""
    mailbox = Mailbox(current_loop(), 2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mailbox.receive)
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await mailbox.receive()
        mailbox.push(1, 0)


@every_loop
async def test_hot_producer_starves_nobody() -> None:
    """A run of ready events lets other tasks have their turn now and then."""
    mailbox = Mailbox(current_loop(), 10 * BUDGET)
    for _ in range(10 * BUDGET):
        mailbox.push(1, 0)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await checkpoint()
        before = turns
        for _ in range(10 * BUDGET):
            await mailbox.receive()
        seen = turns - before
        tasks.cancel_scope.cancel()
    assert seen >= 8


@every_loop
async def test_second_receiver_at_the_turn_of_others() -> None:
    """A run that another task has begun meanwhile ends as well."""
    mailbox = Mailbox(current_loop(), 10 * BUDGET)
    for _ in range(10 * BUDGET):
        mailbox.push(1, 0)
    for _ in range(BUDGET):
        await mailbox.receive()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mailbox.receive)
        await checkpoint()
        for _ in range(BUDGET):
            await mailbox.receive()
    with anyio.CancelScope() as scope:
        scope.cancel()
        for _ in range(2 * BUDGET):
            await mailbox.receive()
    assert scope.cancelled_caught


@every_loop
async def test_cancelled_at_the_turn_of_others() -> None:
    """The event is not taken before the checkpoint that a long run makes."""
    mailbox = Mailbox(current_loop(), 10 * BUDGET)
    for port in range(1, BUDGET + 3):
        mailbox.push(port, 0)
    received = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        while True:
            received.append(await mailbox.receive())
    assert len(received) == BUDGET
    assert await mailbox.receive() == PortEvent(BUDGET + 1)


@every_loop
async def test_failed() -> None:
    """The events before a failure are received, then the failure, for ever."""
    mailbox = Mailbox(current_loop(), 2)
    error = BackendError("GetTeredoPort", 31)
    mailbox.push(1, 0)
    mailbox.fail(error)
    assert await mailbox.receive() == PortEvent(1)
    depth = []
    for _ in range(3):
        with pytest.raises(BackendError) as raised:
            await mailbox.receive()
        assert raised.value is error
        depth.append(len(raised.traceback))
    assert len(set(depth)) == 1, "the traceback grows"


@every_loop
async def test_failure_wakes_the_consumer() -> None:
    """A task that waits is woken by a failure."""
    mailbox = Mailbox(current_loop(), 2)

    async def wait() -> None:
        with pytest.raises(BackendError):
            await mailbox.receive()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await wait_all_tasks_blocked()
        mailbox.fail(BackendError("GetTeredoPort", 31))


class Spy:
    """A loop that does one thing more when something is posted to it."""

    def __init__(self, loop: EventLoop, spy: Callable[[], None]) -> None:
        self._loop, self._spy = loop, spy
        self.park, self.unpark = loop.park, loop.unpark

    def threadsafe(self, callback: Callable[[], object]) -> Callable[[], bool]:
        post = self._loop.threadsafe(callback)

        def spied_post() -> bool:
            self._spy()
            return post()

        return spied_post


@every_loop
async def test_event_is_there_before_its_wakeup() -> None:
    """The event is appended first: a loop that runs at once finds it."""
    held = []
    mailbox = Mailbox(Spy(current_loop(), lambda: held.append(len(mailbox._events))), 2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mailbox.receive)
        await wait_all_tasks_blocked()
        mailbox.push(1, 0)
    assert held == [1]


@every_loop
async def test_event_just_before_the_sleep() -> None:
    """An event that comes after the look, before the task sleeps, is not slept over."""

    class Late(deque[tuple[int, int | None, int, int]]):
        late = iter([1])

        def popleft(self) -> tuple[int, int | None, int, int]:
            try:
                return super().popleft()
            finally:
                for port in self.late:
                    mailbox.push(port, 0)

    mailbox = Mailbox(current_loop(), 2)
    mailbox._events = Late(maxlen=2)
    with anyio.fail_after(5):
        assert await mailbox.receive() == PortEvent(1)


@every_loop
async def test_busy_consumer_is_not_woken() -> None:
    """What comes while no task waits, or after it was woken, is posted nothing for."""
    posts = []
    mailbox = Mailbox(Spy(current_loop(), lambda: posts.append(received[:])), 4)
    received = list[int | None]()

    async def read() -> None:
        for _ in range(4):
            received.append((await mailbox.receive()).port)

    mailbox.push(1, 0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await wait_all_tasks_blocked()
        for port in (2, 3, 4):
            mailbox.push(port, 0)
    assert received == [1, 2, 3, 4]
    assert posts == [[1]]
    with anyio.move_on_after(0):
        await mailbox.receive()
    mailbox.push(5, 0)
    assert posts == [[1]]


@every_loop
async def test_event_and_failure_just_after_the_look() -> None:
    """An event that comes after the look, and then a failure, is received before it."""

    class Late(deque[tuple[int, int | None, int, int]]):
        def popleft(self) -> tuple[int, int | None, int, int]:
            if not self and mailbox._error is None:
                mailbox.push(1, 0)
                mailbox.fail(BackendError("GetTeredoPort", 31))
                raise IndexError
            return super().popleft()

    mailbox = Mailbox(current_loop(), 2)
    mailbox._events = Late(maxlen=2)
    assert await mailbox.receive() == PortEvent(1)
    with pytest.raises(BackendError):
        await mailbox.receive()


@every_loop
async def test_time_is_that_of_the_callback() -> None:
    """``monotonic_ns`` is taken when the event is pushed, however late it is received."""
    mailbox = Mailbox(current_loop(), 2)
    before = time.monotonic_ns()
    mailbox.push(1, 0)
    after = time.monotonic_ns()
    await checkpoint()
    assert before <= (await mailbox.receive()).monotonic_ns <= after


@every_loop
async def test_errors_starve_nobody() -> None:
    """Who goes on receiving after a failure lets other tasks have their turn too."""
    mailbox = Mailbox(current_loop(), 2)
    mailbox.fail(BackendError("GetTeredoPort", 31))
    with anyio.CancelScope() as scope:
        scope.cancel()
        for _ in range(2 * BUDGET):
            with pytest.raises(BackendError):
                await mailbox.receive()
    assert scope.cancelled_caught


@every_loop
async def test_newcomer_does_not_take_the_place_of_who_was_woken() -> None:
    """A task that was woken and has not run yet is still the one that waits."""
    mailbox = Mailbox(current_loop(), 2)
    received = []

    async def wait() -> None:
        received.append(await mailbox.receive())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await wait_all_tasks_blocked()
        mailbox._loop.unpark()
        with pytest.raises(BusyResourceError):
            await mailbox.receive()
        mailbox.push(1, 0)
    assert received == [PortEvent(1)]


@every_loop
async def test_closed() -> None:
    """Closing drops what is buffered, refuses what comes late and outdoes a failure."""
    mailbox = Mailbox(current_loop(), 2)
    mailbox.push(1, 0)
    mailbox.close()
    mailbox.push(2, 0)
    mailbox.fail(BackendError("GetTeredoPort", 31))
    for _ in range(2):
        with pytest.raises(ClosedResourceError):
            await mailbox.receive()


@every_loop
async def test_woken_without_an_event() -> None:
    """A wake-up for an event that was taken meanwhile ends no wait."""
    mailbox = Mailbox(current_loop(), 2)
    mailbox.push(1, 0)
    await mailbox.receive()  # its wake-up is still to come
    async with anyio.create_task_group() as tasks:
        received = []

        async def wait() -> None:
            received.append(await mailbox.receive())

        tasks.start_soon(wait)
        await wait_all_tasks_blocked()
        assert not received
        mailbox.push(2, 0)
    assert received == [PortEvent(2)]
