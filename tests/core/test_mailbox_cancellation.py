"""A cancellation of the task that receives takes no event."""

from __future__ import annotations

import asyncio

import anyio
import pytest
import trio
import trio.testing
from anyio import (
    ClosedResourceError,
)

from aioteredo import PortEvent
from aioteredo._loop import current_loop

from ..support.mailboxes import PortMailbox, port_mailbox

every_loop = pytest.mark.every_loop


@every_loop
async def test_receive_in_a_cancelled_scope_takes_no_event() -> None:
    """In a scope that is already cancelled, ``receive`` raises and leaves the event."""
    mailbox = port_mailbox(current_loop(), 10)
    mailbox.push(1, 0)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await mailbox.receive()
        pytest.fail("received in a cancelled scope")

    assert scope.cancelled_caught
    assert await mailbox.receive() == PortEvent(1)


@every_loop
async def test_task_that_cancels_its_own_scope_receives_no_further_event() -> None:
    """The event after the cancellation stays in the buffer."""
    mailbox = port_mailbox(current_loop(), 10)
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
async def test_receive_in_a_shielded_scope_returns_the_event() -> None:
    """A shield holds off the cancellation of the scope around it."""
    mailbox = port_mailbox(current_loop(), 10)
    mailbox.push(1, 0)
    with anyio.CancelScope() as scope:
        scope.cancel()
        with anyio.CancelScope(shield=True):
            assert await mailbox.receive() == PortEvent(1)


@every_loop
async def test_cancellation_is_raised_even_if_the_mailbox_is_closed() -> None:
    """``receive`` in a cancelled scope does not raise ClosedResourceError."""
    mailbox = port_mailbox(current_loop(), 10)
    mailbox.close()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await mailbox.receive()
    assert scope.cancelled_caught


@pytest.mark.asyncio_loops
async def test_task_cancel_is_delivered_where_the_task_suspends() -> None:
    """A buffered event is received first, and CancelledError is raised at the wait."""
    mailbox = port_mailbox(current_loop(), 10)
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
        mailbox = port_mailbox(current_loop(), 10)
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

    async def push_when_blocked(mailbox: PortMailbox) -> None:
        await trio.testing.wait_all_tasks_blocked()
        mailbox.push(2, 0)

    trio.run(main)
