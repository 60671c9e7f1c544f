"""The buffer of a mailbox: its events, its limit, and the state after closing."""

from __future__ import annotations

import time

import anyio
import pytest
from anyio import (
    BusyResourceError,
    ClosedResourceError,
    wait_all_tasks_blocked,
)
from anyio.lowlevel import checkpoint

from aioteredo import BackendError, NotificationType, PortEvent
from aioteredo._loop import current_loop

from ..support.mailboxes import port_mailbox

every_loop = pytest.mark.every_loop


@every_loop
async def test_unknown_notification_type_stays_an_int() -> None:
    """A number that is not in NotificationType is received as it is."""
    mailbox = port_mailbox(current_loop(), 4)
    mailbox.push(1, NotificationType.DELETE)
    mailbox.push(1, 77)
    assert (await mailbox.receive()).notification_type is NotificationType.DELETE
    assert (await mailbox.receive()).notification_type == 77


@every_loop
async def test_full_buffer_drops_the_oldest_events_and_counts_them() -> None:
    """``missed`` of the next event is their number, and 0 for the event after it."""
    mailbox = port_mailbox(current_loop(), 2)
    for port in (1, 2, 3, 4, 5):
        mailbox.push(port, 0)
    assert await mailbox.receive() == PortEvent(4, missed=3)
    assert await mailbox.receive() == PortEvent(5)
    mailbox.push(6, 0)

    assert await mailbox.receive() == PortEvent(6)


@every_loop
async def test_monotonic_ns_is_the_time_of_the_push() -> None:
    """The time is read when the event is pushed, however late it is received."""
    mailbox = port_mailbox(current_loop(), 2)
    before = time.monotonic_ns()
    mailbox.push(1, 0)
    after = time.monotonic_ns()
    await checkpoint()
    assert before <= (await mailbox.receive()).monotonic_ns <= after


@every_loop
async def test_second_task_that_waits_raises_busy() -> None:
    """While one task waits for an event, another one gets BusyResourceError."""
    mailbox = port_mailbox(current_loop(), 2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(mailbox.receive)
        await wait_all_tasks_blocked()
        with pytest.raises(BusyResourceError):
            await mailbox.receive()
        mailbox.push(1, 0)


@every_loop
async def test_closed_mailbox_has_no_events_and_raises_closed() -> None:
    """Closing drops the buffered events, and later events and failures are ignored."""
    mailbox = port_mailbox(current_loop(), 2)
    mailbox.push(1, 0)
    mailbox.close()
    mailbox.push(2, 0)
    mailbox.fail(BackendError("GetTeredoPort", 31))

    for _ in range(2):
        with pytest.raises(ClosedResourceError):
            await mailbox.receive()
