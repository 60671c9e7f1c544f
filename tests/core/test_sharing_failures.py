"""Failures of a shared registration: each watch gets its own, and none spoils another."""

from __future__ import annotations

import dataclasses
import gc
import threading
import weakref

import anyio
import pytest

from aioteredo import (
    BackendError,
    BackendFailedError,
    BackendUnavailableError,
    NotificationType,
    PortEvent,
    Sink,
    share,
    watch_teredo_port,
)
from aioteredo._fan_out import copy_of

from ..support.manual_backend import ManualBackend
from ..support.sinks import RecordingSink
from ..support.waiting import eventually, join, limit, start_thread, wait_until
from .sharing import manual_backend, users

every_loop = pytest.mark.every_loop

PARAMETER = NotificationType.PARAMETER


def error_with_a_cause() -> BackendError:
    error = BackendError("recv", 5, "errno")
    error.__cause__ = ValueError("the cause")
    error.add_note("a note")
    return error


def test_failure_gives_each_sink_a_copy_with_the_cause() -> None:
    """The copies have the text, the cause and the notes of the error, and no more."""
    backend, shared = manual_backend()
    sinks = [RecordingSink() for _ in range(3)]
    subscriptions = [shared.subscribe(sink, initial=False) for sink in sinks]
    error = error_with_a_cause()
    backend.fail(error)
    backend.push(7)

    failures = [failure for sink in sinks for failure in sink.failed]
    assert len({id(failure) for failure in [error, *failures]}) == 4
    for failure in failures:
        assert str(failure) == str(error)
        assert failure.__cause__ is error.__cause__
        failure.add_note("a user's note")
    assert [failure.__notes__ for failure in failures] == [["a note", "a user's note"]] * 3
    assert [sink.pushed for sink in sinks] == [[]] * 3
    for subscription in subscriptions:
        subscription.cancel()


@every_loop
async def test_watch_that_opens_after_a_failure_registers_anew() -> None:
    """The failed registration stays until the last of its watches leaves it."""
    backend, shared = manual_backend()
    failed = [watch_teredo_port(backend=shared) for _ in range(2)]
    streams = [await watch.__aenter__() for watch in failed]
    backend.fail(error_with_a_cause())

    async with watch_teredo_port(backend=shared) as events:
        assert (backend.subscribed, backend.cancelled) == (2, 0)
        for stream in streams:
            with pytest.raises(BackendFailedError) as raised:
                await stream.receive()
            assert type(raised.value.__cause__) is ValueError

        await failed[0].__aexit__(None, None, None)
        assert backend.cancelled == 0
        await failed[1].__aexit__(None, None, None)
        assert backend.cancelled == 1
        backend.push(7)
        assert await events.receive() == PortEvent(7)

    assert (backend.subscribed, backend.cancelled) == (2, 2)


def test_backend_that_fails_while_it_registers_fails_the_watch_that_opens() -> None:
    """``subscribe()`` raises a copy of the failure, and the registration is cancelled."""
    backend, shared = manual_backend()
    error = error_with_a_cause()
    backend.on_subscribe = lambda: backend.fail(error)
    with pytest.raises(BackendError, match="recv") as raised:
        shared.subscribe(RecordingSink(), initial=False)

    assert raised.value is not error
    assert raised.value.__cause__ is error.__cause__
    assert (backend.subscribed, backend.cancelled) == (1, 1)


def test_threads_that_wait_for_a_refused_registration_do_not_try_it_again() -> None:
    """The backend is called once, and each of them raises an error of its own."""
    backend, shared = manual_backend()
    may_return = threading.Event()
    error = BackendUnavailableError("no client")

    def refuse() -> None:
        may_return.wait(limit())
        raise error

    def subscribe() -> None:
        with pytest.raises(BackendUnavailableError, match="no client") as raised:
            shared.subscribe(RecordingSink(), initial=False)
        raised_errors.append(raised.value)

    backend.on_subscribe = refuse
    raised_errors: list[BaseException] = []
    threads = [start_thread(subscribe) for _ in range(5)]
    wait_until(lambda: users(shared) == 5, "all threads wait")
    may_return.set()
    join(*threads)

    assert backend.subscribed == 1
    assert len({id(each) for each in raised_errors}) == 5
    assert error in raised_errors  # The thread that has called the backend gets its error.
    backend.on_subscribe = lambda: None
    shared.subscribe(RecordingSink(), initial=False).cancel()
    assert backend.cancelled == 1


@every_loop
async def test_tasks_that_wait_for_a_refused_registration_do_not_try_it_again() -> None:
    """The backend is called once, and ``async with`` raises in each of the tasks."""
    backend, shared = manual_backend()
    may_return = threading.Event()

    def refuse() -> None:
        may_return.wait(limit())
        raise BackendUnavailableError("no client")

    async def use() -> None:
        with pytest.raises(BackendUnavailableError, match="no client") as raised:
            async with watch_teredo_port(backend=shared):
                pytest.fail("entered")
        raised_errors.append(raised.value)

    backend.on_subscribe = refuse
    raised_errors: list[BaseException] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(use)
        await eventually(lambda: backend.subscribed, "the first watch registers")
        for _ in range(5):
            tasks.start_soon(use)
        await anyio.wait_all_tasks_blocked()
        may_return.set()

    assert backend.subscribed == 1
    assert len({id(each) for each in raised_errors}) == 6


class BrokenSink(RecordingSink):
    def push(self, port: int | None, notification_type: int) -> None:
        super().push(port, notification_type)
        raise ZeroDivisionError


def test_sink_that_raises_fails_alone() -> None:
    """The others get the event, and the broken sink gets nothing more."""
    backend, shared = manual_backend()
    broken = BrokenSink()
    sinks = [RecordingSink(), broken, RecordingSink()]
    subscriptions = [shared.subscribe(sink, initial=False) for sink in sinks]
    backend.push(7)
    backend.push(8)

    assert [sink.pushed for sink in sinks] == [
        [(7, PARAMETER), (8, PARAMETER)],
        [(7, PARAMETER)],
        [(7, PARAMETER), (8, PARAMETER)],
    ]
    assert [len(sink.failed) for sink in sinks] == [0, 1, 0]
    assert type(broken.failed[0]) is BackendError
    assert type(broken.failed[0].__cause__) is ZeroDivisionError
    for subscription in subscriptions:
        subscription.cancel()
    assert backend.cancelled == 1


def test_sink_whose_fail_raises_keeps_the_failure_from_no_other_sink() -> None:
    """The exception of ``Sink.fail()`` is dropped."""

    class BrokenFail(RecordingSink):
        def fail(self, error: BackendError) -> None:
            raise ZeroDivisionError

    backend, shared = manual_backend()
    sinks = [BrokenFail(), RecordingSink()]
    subscriptions = [shared.subscribe(sink, initial=False) for sink in sinks]
    backend.fail(error_with_a_cause())

    assert len(sinks[1].failed) == 1
    for subscription in subscriptions:
        subscription.cancel()


def test_sink_that_raises_in_its_initial_push_is_not_subscribed() -> None:
    """``subscribe()`` raises, and the other watches go on."""
    backend, shared = manual_backend()
    sink = RecordingSink()
    subscription = shared.subscribe(sink, initial=False)
    with pytest.raises(ZeroDivisionError):
        shared.subscribe(BrokenSink(), initial=True)
    assert users(shared) == 1
    backend.push(7)
    assert sink.pushed == [(7, PARAMETER)]
    subscription.cancel()


def test_refused_registration_leaves_no_reference_cycle() -> None:
    """The exception is freed after its handler, without the garbage collector."""

    class Local:
        pass

    def refuse() -> None:
        local = Local()
        references.append(weakref.ref(local))
        raise ZeroDivisionError

    references: list[weakref.ref[Local]] = []
    backend, shared = manual_backend()
    backend.on_subscribe = refuse
    gc.disable()
    try:
        with pytest.raises(ZeroDivisionError):
            shared.subscribe(RecordingSink(), initial=False)
        assert references[0]() is None
    finally:
        gc.enable()


def test_error_that_cannot_be_copied_is_raised_as_it_is() -> None:
    """A class of a backend's author may need other arguments than its own ``args``."""

    class OddError(BackendError):
        def __init__(self, *, text: str) -> None:
            super().__init__(text, 5, "errno")

    backend, shared = manual_backend()
    sink = RecordingSink()
    subscription = shared.subscribe(sink, initial=False)
    error = OddError(text="odd")
    backend.fail(error)

    assert sink.failed == [error]
    subscription.cancel()


def test_error_that_cannot_be_changed_is_raised_as_it_is() -> None:
    """The cause of a copy could not be set."""

    @dataclasses.dataclass(frozen=True)
    class FrozenError(Exception):
        pass

    error = FrozenError()
    assert copy_of(error) is error


def test_error_that_makes_a_text_of_its_argument_keeps_the_text() -> None:
    """A copy calls the class with the text, which must not get into another text."""

    class TextError(BackendUnavailableError):
        def __init__(self, name: str) -> None:
            super().__init__(f"no client {name}")

    error = TextError("miredo")
    copied = copy_of(error)
    assert copied is not error
    assert str(copied) == "no client miredo"


def test_copy_of_an_error_hides_a_context_only_if_the_error_does() -> None:
    """``raise ... from None`` hides the exception that is being handled."""
    error = BackendError("recv", 5, "errno")
    assert not copy_of(error).__suppress_context__
    error.__cause__ = None
    assert copy_of(error).__suppress_context__


def test_refused_cancel_after_a_failed_initial_push_is_a_note() -> None:
    """``subscribe()`` raises the first error, and the other one is a note on it."""
    backend, shared = manual_backend()

    def refuse() -> None:
        raise BackendError("CancelMibChangeNotify2", 6)

    backend.on_cancel = refuse
    with pytest.raises(ZeroDivisionError) as raised:
        shared.subscribe(BrokenSink(), initial=True)
    assert raised.value.__notes__[0].startswith(
        "while cancelling: CancelMibChangeNotify2: [WinError 6]"
    )


def test_subscribe_that_returns_no_subscription_raises_type_error() -> None:
    """The error names the inner backend, and the next watch tries again."""

    class ReturnsNone(ManualBackend):
        def subscribe(self, sink: Sink, *, initial: bool) -> None:  # type: ignore[override]
            self.subscribed += 1

        def __repr__(self) -> str:
            return "<ReturnsNone>"

    backend = ReturnsNone()
    shared = share(backend)  # type: ignore[arg-type]
    for number in (1, 2):
        with pytest.raises(TypeError, match=r"subscribe.* of <ReturnsNone>.* not None"):
            shared.subscribe(RecordingSink(), initial=False)
        assert backend.subscribed == number
