"""A task that receives many events in a row lets other tasks run."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aioteredo import BackendError
from aioteredo._loop import current_loop
from aioteredo._mailbox import BUDGET

from ..support.mailboxes import PortMailbox, port_mailbox

every_loop = pytest.mark.every_loop


class OtherTask:
    """A task that counts how often the event loop lets it run."""

    def __init__(self) -> None:
        self.turns = 0

    async def run(self) -> None:
        while True:
            await checkpoint()
            self.turns += 1


def full_mailbox(count: int) -> PortMailbox:
    mailbox = port_mailbox(current_loop(), 10 * BUDGET)
    for _ in range(count):
        mailbox.push(1, 0)
    return mailbox


async def receive(mailbox: PortMailbox, count: int) -> None:
    for _ in range(count):
        await mailbox.receive()


@every_loop
async def test_task_that_receives_buffered_events_lets_others_run() -> None:
    """Another task runs several times while ten budgets of events are received."""
    mailbox = full_mailbox(10 * BUDGET)
    other = OtherTask()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.run)
        await checkpoint()
        before = other.turns
        await receive(mailbox, 10 * BUDGET)
        turns = other.turns - before
        tasks.cancel_scope.cancel()

    assert turns >= 8


@every_loop
async def test_two_tasks_that_receive_share_one_budget() -> None:
    """Another task runs as often as if one task had received all the events."""
    mailbox = full_mailbox(10 * BUDGET)
    other = OtherTask()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.run)
        async with anyio.create_task_group() as receivers:
            receivers.start_soon(receive, mailbox, 5 * BUDGET)
            receivers.start_soon(receive, mailbox, 5 * BUDGET)
        tasks.cancel_scope.cancel()

    assert other.turns >= 5


@pytest.mark.asyncio_loops
async def test_others_run_once_for_each_budget_and_a_wait_renews_it() -> None:
    """Another task runs once after each budget; a task that has waited has a new one."""
    mailbox = full_mailbox(4 * BUDGET - 1)
    other = OtherTask()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.run)
        await checkpoint()

        before = other.turns
        await receive(mailbox, 4 * BUDGET - 1)
        assert other.turns - before == 3

        asyncio.get_running_loop().call_soon(mailbox.push, 1, 0)
        await mailbox.receive()

        for _ in range(BUDGET):
            mailbox.push(1, 0)
        before = other.turns
        await receive(mailbox, BUDGET)
        assert other.turns == before

        tasks.cancel_scope.cancel()


@every_loop
async def test_task_that_receives_a_failure_repeatedly_lets_others_run() -> None:
    """A task that goes on receiving after a failure does not starve other tasks."""
    mailbox = port_mailbox(current_loop(), 2)
    mailbox.fail(BackendError("GetTeredoPort", 31))
    other = OtherTask()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.run)
        for _ in range(5 * BUDGET):
            with pytest.raises(BackendError):
                await mailbox.receive()
        tasks.cancel_scope.cancel()

    assert other.turns >= 3
