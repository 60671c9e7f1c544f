"""A failure of the backend is raised after the events that came before it."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections import deque

import anyio
import pytest
from anyio import (
    BrokenResourceError,
    wait_all_tasks_blocked,
)

from aioteredo import BackendError, PortEvent
from aioteredo._backend_failed import BackendFailedError
from aioteredo._loop import current_loop

from ..support.mailboxes import port_mailbox

every_loop = pytest.mark.every_loop


@every_loop
async def test_failure_is_raised_after_the_buffered_events_and_each_time() -> None:
    """The buffered events are received first, then each ``receive`` raises the failure."""
    mailbox = port_mailbox(current_loop(), 2)
    mailbox.push(1, 0)
    mailbox.fail(BackendError("GetTeredoPort", 31))
    assert await mailbox.receive() == PortEvent(1)

    for _ in range(2):
        with pytest.raises(BackendError, match="ERROR_GEN_FAILURE"):
            await mailbox.receive()


@every_loop
async def test_failure_is_a_backend_error_and_a_broken_resource_error() -> None:
    """The exception has the text, the code, the cause and the notes of the failure."""
    mailbox = port_mailbox(current_loop(), 2)
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
async def test_failure_of_a_subclass_is_the_cause() -> None:
    """A subclass of BackendError can have more attributes, so it is kept as the cause."""

    class OwnError(BackendError):
        pass

    mailbox = port_mailbox(current_loop(), 2)
    error = OwnError("GetTeredoPort", 31)
    mailbox.fail(error)
    with pytest.raises(BackendFailedError) as raised:
        await mailbox.receive()

    assert raised.value.__cause__ is error


@every_loop
async def test_failure_is_a_new_exception_each_time() -> None:
    """The traceback, context and notes of one consumer are not in another's exception."""
    error = BackendError("GetTeredoPort", 31)
    mailboxes = [port_mailbox(current_loop(), 2) for _ in range(2)]
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
    """An exception that was handled is freed without the garbage collector."""

    class Local:
        pass

    async def receive() -> weakref.ref[Local]:
        local = Local()
        with contextlib.suppress(BackendError):
            await mailbox.receive()
        return weakref.ref(local)

    mailbox = port_mailbox(current_loop(), 2)
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
    """A task that waits is woken and gets the failure."""
    mailbox = port_mailbox(current_loop(), 2)

    async def wait() -> None:
        with pytest.raises(BackendError):
            await mailbox.receive()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await wait_all_tasks_blocked()
        mailbox.fail(BackendError("GetTeredoPort", 31))


@every_loop
async def test_event_and_failure_after_the_first_look_come_in_order() -> None:
    """If an event and a failure come after the first look, the event is received first."""

    class PushAndFailAtFirstPop(deque[tuple[int, int | None, int, int]]):
        def popleft(self) -> tuple[int, int | None, int, int]:
            if not self and mailbox._error is None:
                mailbox.push(1, 0)
                mailbox.fail(BackendError("GetTeredoPort", 31))
                raise IndexError
            return super().popleft()

    mailbox = port_mailbox(current_loop(), 2)
    mailbox._events = PushAndFailAtFirstPop(maxlen=2)
    assert await mailbox.receive() == PortEvent(1)
    with pytest.raises(BackendError):
        await mailbox.receive()
