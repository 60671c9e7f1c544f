"""The initial event of a watch on a shared registration."""

from __future__ import annotations

import threading

import pytest

from aioteredo import BackendError, NotificationType, PortEvent, watch_teredo_port

from ..support.sinks import RecordingSink
from ..support.waiting import join, limit, start_thread
from .sharing import A_WHILE, manual_backend

INITIAL = NotificationType.INITIAL
PARAMETER = NotificationType.PARAMETER
ERROR = BackendError("GetTeredoPort", 31)


def test_initial_port_of_a_later_watch_is_that_of_the_last_notification() -> None:
    """The port is not read again, even if the backend would return another one."""
    backend, shared = manual_backend()
    first = shared.subscribe(RecordingSink(), initial=False)
    backend.push(7)
    backend.port = 8  # its notification has not come yet
    sink = RecordingSink()
    second = shared.subscribe(sink, initial=True)
    backend.push(8)

    assert sink.pushed == [(7, INITIAL), (8, PARAMETER)]
    assert backend.reads == 0
    first.cancel()
    second.cancel()


def test_initial_port_is_read_once_if_there_was_no_notification() -> None:
    """The port that one watch has read is the initial port of the next ones."""
    backend, shared = manual_backend()
    sinks = [RecordingSink() for _ in range(3)]
    subscriptions = [shared.subscribe(RecordingSink(), initial=False)]
    subscriptions += [shared.subscribe(sink, initial=True) for sink in sinks]

    assert [sink.pushed for sink in sinks] == [[(1000, INITIAL)]] * 3
    assert backend.reads == 1
    for subscription in subscriptions:
        subscription.cancel()


@pytest.mark.every_loop
async def test_initial_port_is_read_on_a_thread_if_there_was_no_notification() -> None:
    """The event loop goes on while the port is read."""
    backend, shared = manual_backend()
    threads: list[int] = []
    backend.on_get = lambda: threads.append(threading.get_ident())
    async with (
        watch_teredo_port(backend=shared),
        watch_teredo_port(initial=True, backend=shared) as events,
    ):
        assert await events.receive() == PortEvent(1000, INITIAL)
    assert len(threads) == 1
    assert threads != [threading.get_ident()]


def test_notification_during_the_read_is_newer_than_the_port_that_was_read() -> None:
    """The initial event has the port of the notification, which is not pushed again."""
    backend, shared = manual_backend()
    first = shared.subscribe(RecordingSink(), initial=False)
    backend.on_get = lambda: backend.push(7)  # get_port() goes on to return 1000
    sink = RecordingSink()
    second = shared.subscribe(sink, initial=True)

    assert sink.pushed == [(7, INITIAL)]
    first.cancel()
    second.cancel()


def test_change_during_the_initial_push_comes_after_it() -> None:
    """Between the initial event and the first change, nothing is missed or swapped."""
    backend, shared = manual_backend()
    first = shared.subscribe(RecordingSink(), initial=True)
    sink = RecordingSink()
    sink.hold = True
    joining = start_thread(lambda: shared.subscribe(sink, initial=True))
    assert sink.held.wait(limit())
    pushing = start_thread(lambda: backend.push(7))
    pushing.join(A_WHILE)
    sink.release.set()
    join(joining, pushing)

    assert sink.pushed == [(1000, INITIAL), (7, PARAMETER)]
    first.cancel()


def test_watch_without_initial_event_opens_although_the_port_cannot_be_read() -> None:
    """The first watch decides whether the backend is asked for an initial push."""
    backend, shared = manual_backend()

    def fail() -> None:
        raise ERROR

    backend.on_get = fail
    first = shared.subscribe(RecordingSink(), initial=False)
    with pytest.raises(BackendError, match="GetTeredoPort"):
        shared.subscribe(RecordingSink(), initial=True)

    sink = RecordingSink()
    second = shared.subscribe(sink, initial=False)
    backend.push(7)

    assert backend.asked_for_initial == [False]
    assert sink.pushed == [(7, PARAMETER)]
    first.cancel()
    second.cancel()
    assert backend.cancelled == 1


def test_initial_push_of_the_backend_reaches_the_first_watch_only_once() -> None:
    """A backend that pushes its initial port a second time does not confuse the others."""
    backend, shared = manual_backend()
    sinks = [RecordingSink(), RecordingSink()]
    subscriptions = [shared.subscribe(sink, initial=True) for sink in sinks]
    backend.sinks[0].push(1000, INITIAL)

    assert [sink.pushed for sink in sinks] == [[(1000, INITIAL)]] * 2
    assert backend.asked_for_initial == [True]
    assert backend.reads == 1  # by the backend's own subscribe()
    for subscription in subscriptions:
        subscription.cancel()
