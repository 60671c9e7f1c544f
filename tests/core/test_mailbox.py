"""The hot path, without a thread where none is needed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest
import trio
import trio.testing
from anyio import (
    BrokenResourceError,
    BusyResourceError,
    ClosedResourceError,
    wait_all_tasks_blocked,
)
from anyio.lowlevel import checkpoint

from aioteredo import BackendError, NotificationType, PortEvent
from aioteredo._loop import EventLoop, current_loop
from aioteredo._mailbox import BUDGET, BackendFailedError, Mailbox

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
async def test_run_of_events_ends_whichever_task_receives_them() -> None:
    """Two tasks that take turns let other tasks run as often as one task does."""
    mailbox = Mailbox(current_loop(), 10 * BUDGET)
    for _ in range(10 * BUDGET):
        mailbox.push(1, 0)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async def receive(count: int) -> None:
        for _ in range(count):
            await mailbox.receive()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        async with anyio.create_task_group() as receivers:
            receivers.start_soon(receive, 5 * BUDGET)
            receivers.start_soon(receive, 5 * BUDGET)
        tasks.cancel_scope.cancel()
    assert turns >= 5


@pytest.mark.asyncio_loops
async def test_run_of_events_is_interrupted_no_more_often_than_need_be() -> None:
    """Other tasks get one turn after each full run, and after a wait a new run begins."""
    mailbox = Mailbox(current_loop(), 10 * BUDGET)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async def receive(count: int) -> int:
        before = turns
        for _ in range(count):
            await mailbox.receive()
        return turns - before

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await checkpoint()
        for _ in range(4 * BUDGET - 1):
            mailbox.push(1, 0)
        assert await receive(4 * BUDGET - 1) == 3

        asyncio.get_running_loop().call_soon(mailbox.push, 1, 0)
        await mailbox.receive()
        for _ in range(BUDGET):
            mailbox.push(1, 0)
        assert await receive(BUDGET) == 0
        tasks.cancel_scope.cancel()


@every_loop
async def test_cancelled_scope_takes_no_event() -> None:
    """In a scope that is cancelled already, ``receive`` raises and leaves the event."""
    mailbox = Mailbox(current_loop(), 10)
    mailbox.push(1, 0)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await mailbox.receive()
        pytest.fail("received in a cancelled scope")
    assert scope.cancelled_caught
    assert await mailbox.receive() == PortEvent(1)


@every_loop
async def test_scope_cancelled_between_two_events_takes_no_more() -> None:
    """A task that cancels its own scope receives no further event in it."""
    mailbox = Mailbox(current_loop(), 10)
    for port in (1, 2, 3):
        mailbox.push(port, 0)
    received = []
    with anyio.CancelScope() as scope:
        while True:
            received.append((await mailbox.receive()).port)
            if received == [1, 2]:
                scope.cancel()
    assert received == [1, 2]
    assert await mailbox.receive() == PortEvent(3)


@every_loop
async def test_shielded_scope_in_a_cancelled_one_receives() -> None:
    """A shield holds off the cancellation of the scope around it, as everywhere."""
    mailbox = Mailbox(current_loop(), 10)
    mailbox.push(1, 0)
    with anyio.CancelScope() as scope:
        scope.cancel()
        with anyio.CancelScope(shield=True):
            assert await mailbox.receive() == PortEvent(1)


@every_loop
async def test_cancelled_scope_comes_before_a_closed_mailbox() -> None:
    """A cancellation is raised rather than ClosedResourceError or a failure."""
    mailbox = Mailbox(current_loop(), 10)
    mailbox.close()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await mailbox.receive()
    assert scope.cancelled_caught


@pytest.mark.asyncio_loops
async def test_native_cancel_is_delivered_where_the_task_suspends() -> None:
    """``task.cancel()`` keeps asyncio's rule: an event that is ready is received first."""
    mailbox = Mailbox(current_loop(), 10)
    mailbox.push(1, 0)
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    assert await mailbox.receive() == PortEvent(1)
    with pytest.raises(asyncio.CancelledError):
        await mailbox.receive()
    task.uncancel()


def test_receive_on_trio_is_always_a_checkpoint() -> None:
    """``receive`` executes a checkpoint, whether it has to wait or not."""

    async def main() -> None:
        mailbox = Mailbox(current_loop(), 10)
        mailbox.push(1, 0)
        with trio.testing.assert_checkpoints():
            await mailbox.receive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push_when_blocked, mailbox)
            with trio.testing.assert_checkpoints():
                await mailbox.receive()
        mailbox.close()
        with trio.testing.assert_checkpoints(), pytest.raises(ClosedResourceError):
            await mailbox.receive()

    async def push_when_blocked(mailbox: Mailbox) -> None:
        await trio.testing.wait_all_tasks_blocked()
        mailbox.push(2, 0)

    trio.run(main)


@every_loop
async def test_failure_comes_after_the_events_before_it_and_each_time() -> None:
    """The events before a failure are received, then the failure is raised each time."""
    mailbox = Mailbox(current_loop(), 2)
    mailbox.push(1, 0)
    mailbox.fail(BackendError("GetTeredoPort", 31))
    assert await mailbox.receive() == PortEvent(1)
    for _ in range(2):
        with pytest.raises(BackendError, match="ERROR_GEN_FAILURE"):
            await mailbox.receive()


@every_loop
async def test_failure_is_what_anyio_and_this_library_call_it() -> None:
    """A failure is a BackendError and anyio's BrokenResourceError, with all its facts."""
    mailbox = Mailbox(current_loop(), 2)
    error = BackendError("GetTeredoPort", 31)
    error.__cause__ = cause = ZeroDivisionError()
    error.add_note("a note")
    mailbox.fail(error)
    with pytest.raises(BrokenResourceError) as raised:
        await mailbox.receive()
    failure = raised.value
    assert isinstance(failure, BackendError)
    assert isinstance(failure, BackendFailedError)
    assert str(failure) == str(error)
    assert (failure.function, failure.code, failure.table) == ("GetTeredoPort", 31, "win32")
    assert failure.__cause__ is cause
    assert failure.__notes__ == ["a note"]


@every_loop
async def test_failure_of_a_backends_own_class_is_the_cause() -> None:
    """A subclass of BackendError, which may know more, is kept as the cause."""

    class OwnError(BackendError):
        pass

    mailbox = Mailbox(current_loop(), 2)
    error = OwnError("GetTeredoPort", 31)
    mailbox.fail(error)
    with pytest.raises(BackendFailedError) as raised:
        await mailbox.receive()
    assert raised.value.__cause__ is error


@every_loop
async def test_failure_is_a_new_exception_for_each_that_receives_it() -> None:
    """One consumer's traceback, context and notes are not in another's exception."""
    error = BackendError("GetTeredoPort", 31)
    mailboxes = [Mailbox(current_loop(), 2) for _ in range(2)]
    raised: list[BackendError] = []
    for mailbox in (*mailboxes, mailboxes[0]):
        mailbox.fail(error)
        try:
            try:
                raise ZeroDivisionError(len(raised))
            finally:
                await mailbox.receive()
        except BackendError as exc:
            exc.add_note("seen")
            raised.append(exc)
    assert len({id(exc) for exc in raised}) == 3
    assert [str(exc.__context__) for exc in raised] == ["0", "1", "2"]
    assert [exc.__notes__ for exc in raised] == [["seen"]] * 3
    assert error.__traceback__ is None


@every_loop
async def test_failure_leaves_no_reference_cycle() -> None:
    """An exception that was handled is gone at once, without the garbage collector."""

    class Local:
        pass

    async def receive() -> weakref.ref[Local]:
        local = Local()
        with contextlib.suppress(BackendError):
            await mailbox.receive()
        return weakref.ref(local)

    mailbox = Mailbox(current_loop(), 2)
    mailbox.fail(BackendError("GetTeredoPort", 31))
    gc.collect()
    gc.disable()
    try:
        assert (await receive())() is None
        assert gc.collect() == 0
    finally:
        gc.enable()


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


def spied(spy: Callable[[], object]) -> EventLoop:
    """Return the running loop, with *spy* called before each call that is posted."""
    loop = current_loop()

    def post(*args: object) -> None:
        spy()
        loop.post(*args)

    return replace(loop, post=post)


@every_loop
async def test_event_is_there_before_its_wakeup() -> None:
    """The event is appended first: a loop that runs at once finds it."""
    held = []
    mailbox = Mailbox(spied(lambda: held.append(len(mailbox._events))), 2)
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
    assert await mailbox.receive() == PortEvent(1)


@every_loop
async def test_busy_consumer_is_not_woken() -> None:
    """What comes while no task waits, or after it was woken, is posted nothing for."""
    posts = []
    mailbox = Mailbox(spied(lambda: posts.append(received[:])), 4)
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
async def test_consumer_that_was_cancelled_is_not_woken() -> None:
    """Nothing is posted for a task that does not wait any more."""
    posts = []
    mailbox = Mailbox(spied(lambda: posts.append(1)), 4)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mailbox.receive)
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    mailbox.push(1, 0)
    assert not posts


@every_loop
async def test_closing_wakes_the_consumer() -> None:
    """A task that waits gets ClosedResourceError when the mailbox is closed."""
    mailbox = Mailbox(current_loop(), 2)

    async def wait() -> None:
        with pytest.raises(ClosedResourceError):
            await mailbox.receive()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await wait_all_tasks_blocked()
        mailbox.close()


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
async def test_wakeup_that_could_not_be_posted_is_made_up_by_the_next_push() -> None:
    """A consumer that a MemoryError kept asleep gets both events at the next push."""
    loop = current_loop()
    errors = iter([MemoryError])

    def post(*args: object) -> None:
        for error in errors:
            raise error
        loop.post(*args)

    mailbox = Mailbox(replace(loop, post=post), 4)
    received = []

    async def read() -> None:
        received.extend([await mailbox.receive(), await mailbox.receive()])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await wait_all_tasks_blocked()
        with pytest.raises(MemoryError):
            mailbox.push(1, 0)
        mailbox.push(2, 0)
    assert received == [PortEvent(1), PortEvent(2)]


@every_loop
async def test_receiving_a_failure_again_and_again_starves_nobody() -> None:
    """A task that goes on receiving after a failure lets other tasks have their turn."""
    mailbox = Mailbox(current_loop(), 2)
    mailbox.fail(BackendError("GetTeredoPort", 31))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(5 * BUDGET):
            with pytest.raises(BackendError):
                await mailbox.receive()
        tasks.cancel_scope.cancel()
    assert turns >= 3


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
        mailbox._wake()
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
    """A wake-up without an event ends no wait, and the next event is received."""
    mailbox = Mailbox(current_loop(), 2)
    async with anyio.create_task_group() as tasks:
        received = []

        async def wait() -> None:
            received.append(await mailbox.receive())

        tasks.start_soon(wait)
        await wait_all_tasks_blocked()
        mailbox._wake()
        await wait_all_tasks_blocked()
        assert not received
        mailbox.push(2, 0)
    assert received == [PortEvent(2)]
