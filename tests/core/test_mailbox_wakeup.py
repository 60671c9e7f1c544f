"""The wake-up protocol: each event is received, and a wake-up is posted only if needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest
from anyio import (
    BusyResourceError,
    ClosedResourceError,
    wait_all_tasks_blocked,
)

from aioteredo import PortEvent
from aioteredo._loop import EventLoop, current_loop

from ..support.mailboxes import port_mailbox

every_loop = pytest.mark.every_loop


def with_spied_post(spy: Callable[[], object]) -> EventLoop:
    """Return the running loop, with *spy* called before each call that is posted."""
    loop = current_loop()

    def post(*args: object) -> None:
        spy()
        loop.post(*args)

    return replace(loop, post=post)


@every_loop
async def test_push_posts_nothing_for_a_cancelled_consumer() -> None:
    """Nothing is posted for a task that no longer waits."""
    posts = []
    mailbox = port_mailbox(with_spied_post(lambda: posts.append(1)), 4)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mailbox.receive)
        await wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    mailbox.push(1, 0)
    assert not posts


@every_loop
async def test_event_is_appended_before_the_wakeup_is_posted() -> None:
    """A loop that runs the posted call at once finds the event."""
    held = []
    mailbox = port_mailbox(with_spied_post(lambda: held.append(len(mailbox._events))), 2)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mailbox.receive)
        await wait_all_tasks_blocked()
        mailbox.push(1, 0)

    assert held == [1]


@every_loop
async def test_event_between_the_first_look_and_the_sleep_is_received() -> None:
    """The task looks a second time before it sleeps."""

    class PushAfterFirstPop(deque[tuple[int, int | None, int, int]]):
        late = iter([1])

        def popleft(self) -> tuple[int, int | None, int, int]:
            try:
                return super().popleft()
            finally:
                for port in self.late:
                    mailbox.push(port, 0)

    mailbox = port_mailbox(current_loop(), 2)
    mailbox._events = PushAfterFirstPop(maxlen=2)

    assert await mailbox.receive() == PortEvent(1)


@every_loop
async def test_push_posts_nothing_unless_the_consumer_sleeps() -> None:
    """Nothing is posted while no task waits, or after the task was woken."""
    posts = []
    mailbox = port_mailbox(with_spied_post(lambda: posts.append(received[:])), 4)
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
async def test_closing_wakes_the_consumer() -> None:
    """A task that waits gets ClosedResourceError when the mailbox is closed."""
    mailbox = port_mailbox(current_loop(), 2)

    async def wait() -> None:
        with pytest.raises(ClosedResourceError):
            await mailbox.receive()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await wait_all_tasks_blocked()
        mailbox.close()


@every_loop
async def test_push_after_a_failed_wakeup_wakes_the_consumer() -> None:
    """After a MemoryError in a wake-up, the next push brings both events."""
    loop = current_loop()
    errors = iter([MemoryError])

    def post(*args: object) -> None:
        for error in errors:
            raise error
        loop.post(*args)

    mailbox = port_mailbox(replace(loop, post=post), 4)
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
async def test_task_that_was_woken_and_has_not_run_yet_still_waits() -> None:
    """Another task gets BusyResourceError until the woken task has run."""
    mailbox = port_mailbox(current_loop(), 2)
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
async def test_spurious_wakeup_does_not_end_the_wait() -> None:
    """A task that is woken without an event sleeps again, and receives the next event."""
    mailbox = port_mailbox(current_loop(), 2)
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
