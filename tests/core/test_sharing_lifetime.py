"""The lifetime of a shared registration: from its first watch to its last one."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import warnings
import weakref

import pytest

from aioteredo import (
    BackendError,
    NotificationType,
    PortEvent,
    SimulatedBackend,
    Subscription,
    share,
    watch_teredo_port,
)
from aioteredo._mailbox import Mailbox
from aioteredo._reaper import reaper

from ..native import StandIn
from ..support.mailboxes import PortMailbox
from ..support.manual_backend import ManualBackend
from ..support.python import output_of
from ..support.sinks import RecordingSink
from ..support.waiting import eventually, join, limit, start_thread, wait_until
from .exits import EXITS, check_quiet_exit, run_exit
from .sharing import HeldCall, manual_backend, refuse_threads, users

every_loop = pytest.mark.every_loop


def test_watch_that_is_opening_keeps_the_registration_that_the_others_leave() -> None:
    """A watch counts before it has joined: the last other one to leave cancels nothing."""
    backend, shared = manual_backend()
    first = shared.subscribe(RecordingSink(), initial=False)
    held = HeldCall()
    backend.on_get = held
    sink = RecordingSink()
    opened = []
    opening = start_thread(lambda: opened.append(shared.subscribe(sink, initial=True)))
    assert held.begun.wait(limit())
    first.cancel()
    assert backend.cancelled == 0
    held.may_return.set()
    join(opening)
    backend.push(7)

    assert sink.pushed == [
        (1000, NotificationType.INITIAL),
        (7, NotificationType.PARAMETER),
    ]
    opened[0].cancel()
    assert (backend.subscribed, backend.cancelled) == (1, 1)


def test_watch_that_opens_while_the_last_one_cancels_registers_again() -> None:
    """The new watch neither waits for the cancel nor joins the old registration."""
    backend, shared = manual_backend()
    held = HeldCall()
    backend.on_cancel = held
    first = shared.subscribe(RecordingSink(), initial=False)
    leaving = start_thread(first.cancel)
    assert held.begun.wait(limit())

    sink = RecordingSink()
    opened = []
    opening = start_thread(lambda: opened.append(shared.subscribe(sink, initial=False)))
    opening.join(limit() / 4)
    waited = opening.is_alive()
    held.may_return.set()
    join(opening, leaving)
    assert not waited
    assert backend.subscribed == 2
    backend.push(7)
    assert sink.take() == (7, NotificationType.PARAMETER)
    backend.on_cancel = lambda: None
    opened[0].cancel()
    assert backend.cancelled == 2


@every_loop
async def test_registration_ends_with_the_last_of_its_watches() -> None:
    """The backend is called once for all watches, whichever of them is closed last."""
    backend, shared = manual_backend()
    watches = [watch_teredo_port(backend=shared) for _ in range(3)]
    for watch in watches:
        await watch.__aenter__()
    for number, watch in enumerate(watches):
        assert (backend.subscribed, backend.cancelled) == (1, 0)
        assert users(shared) == 3 - number
        await watch.__aexit__(None, None, None)

    assert (backend.subscribed, backend.cancelled) == (1, 1)
    async with watch_teredo_port(backend=shared):
        assert backend.subscribed == 2


@every_loop
async def test_refused_cancel_is_raised_to_the_last_watch_only() -> None:
    """The watches before the last one have nothing to cancel."""
    backend, shared = manual_backend()
    error = BackendError("CancelMibChangeNotify2", 6)

    def refuse() -> None:
        raise error

    backend.on_cancel = refuse
    watches = [watch_teredo_port(backend=shared) for _ in range(3)]
    for watch in watches:
        await watch.__aenter__()
    for watch in watches[:-1]:
        await watch.__aexit__(None, None, None)
    with pytest.raises(BackendError) as raised:
        await watches[-1].__aexit__(None, None, None)

    assert raised.value is error
    backend.on_cancel = lambda: None
    async with watch_teredo_port(backend=shared):
        assert backend.subscribed == 2


def test_subscription_whose_cancel_was_interrupted_cancels_when_it_is_repeated() -> None:
    """The last one to leave calls the backend again, and the others never do."""
    backend, shared = manual_backend()

    def interrupt() -> None:
        raise KeyboardInterrupt

    backend.on_cancel = interrupt
    first = shared.subscribe(RecordingSink(), initial=False)
    last = shared.subscribe(RecordingSink(), initial=False)
    first.cancel()
    with pytest.raises(KeyboardInterrupt):
        last.cancel()
    backend.on_cancel = lambda: None
    first.cancel()
    assert backend.cancelled == 0
    last.cancel()
    assert backend.cancelled == 1


# the reaper


@every_loop
async def test_watch_that_is_dropped_inside_a_push_is_cancelled_by_the_reaper() -> None:
    """Its finalizer runs on the notifying thread, under the lock of the push."""
    backend, shared = manual_backend()
    async with watch_teredo_port(backend=shared) as events:
        watch = watch_teredo_port(backend=shared)
        cycle: list[object] = [watch, await watch.__aenter__()]
        cycle.append(cycle)
        original = Mailbox.push

        def push(self: PortMailbox, port: int | None, kind: int) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gc.collect()
            original(self, port, kind)

        gc.disable()
        try:
            del watch, cycle
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Mailbox, "push", push)
                join(start_thread(lambda: backend.push(7)))
        finally:
            gc.enable()

        assert await events.receive() == PortEvent(7)
        await eventually(lambda: users(shared) == 1, "the reaper has cancelled")
    assert backend.cancelled == 1


@every_loop
async def test_last_watch_that_cannot_get_a_thread_is_cancelled_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The reaper keeps the cancellation, and the next watch finds nothing of it."""
    backend, shared = manual_backend()
    events = await watch_teredo_port(backend=shared).__aenter__()
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        with pytest.raises(BackendError, match="EAGAIN"):
            await events.aclose()
        assert reaper.has_pending

    async with watch_teredo_port(backend=shared):
        assert (backend.subscribed, backend.cancelled) == (2, 1)


@pytest.mark.parametrize("occasion", ["open", "close"])
def test_watch_of_a_closed_loop_is_cancelled_when_another_one_joins_or_leaves(
    occasion: str,
) -> None:
    """The other watch takes a thread for that, although it needs none for itself."""
    _, shared = manual_backend()
    subscription = shared.subscribe(RecordingSink(), initial=False)
    closed = asyncio.new_event_loop()
    orphan = watch_teredo_port(backend=shared)
    other = watch_teredo_port(backend=shared)
    with asyncio.Runner() as runner:
        if occasion == "close":
            runner.run(other.__aenter__())
        closed.run_until_complete(orphan.__aenter__())
        closed.close()

        if occasion == "open":
            runner.run(other.__aenter__())
            assert users(shared) == 2
        runner.run(other.__aexit__(None, None, None))
        assert users(shared) == 1

    with pytest.warns(ResourceWarning, match="unclosed"):
        del orphan
        gc.collect()
    subscription.cancel()


# contexts, exits and forks


def test_registration_keeps_no_context_variable_of_the_first_watch() -> None:
    """A backend that keeps its caller's context does not keep the first request alive."""

    class Request:
        pass

    request: contextvars.ContextVar[Request] = contextvars.ContextVar("request")
    backend, shared = manual_backend()
    contexts: list[contextvars.Context] = []
    backend.on_subscribe = lambda: contexts.append(contextvars.copy_context())

    def open_watch() -> weakref.ref[Request]:
        value = Request()
        request.set(value)
        subscriptions.append(shared.subscribe(RecordingSink(), initial=False))
        return weakref.ref(value)

    subscriptions: list[Subscription] = []
    reference = contextvars.Context().run(open_watch)
    gc.collect()
    assert len(contexts) == 1
    assert reference() is None
    subscriptions[0].cancel()


@pytest.mark.parametrize("exit_", EXITS.values(), ids=EXITS)
def test_interpreter_that_exits_during_callbacks_cancels_the_shared_registration_once(
    stand_in: StandIn, exit_: str
) -> None:
    """The last watch that the exit cancels also cancels the registration."""
    check_quiet_exit(run_exit("backend = share(backend)\n" + exit_, stand_in))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_forked_child_opens_a_registration_of_its_own() -> None:
    """The child forgets the parent's registrations, and the locks of a push."""
    code = """
import os, threading, warnings, asyncio
from aioteredo import *
from tests.support.manual_backend import ManualBackend
from tests.support.sinks import RecordingSink

warnings.simplefilter("ignore", DeprecationWarning)  # os.fork() warns about threads.
backend = ManualBackend()
shared = share(backend)
dead = [shared.subscribe(RecordingSink(), initial=True) for _ in range(2)]
backend.fail(BackendError("GetTeredoPort", 31))

sink = RecordingSink()
alive = shared.subscribe(sink, initial=True)
sink.hold = True
thread = threading.Thread(target=lambda: backend.push(7))
thread.start()
sink.held.wait()

# Another thread enters or leaves at the moment of the fork.
locked = threading.Event()
forked = threading.Event()

def hold_lock():
    with shared.subscribe.lock:
        locked.set()
        forked.wait()

other = threading.Thread(target=hold_lock)
other.start()
locked.wait()

async def child():
    async with watch_teredo_port(initial=True, backend=shared) as events:
        assert (await events.receive()).port == 7
        assert (backend.subscribed, backend.cancelled) == (3, 0)
    assert backend.cancelled == 1
    for subscription in [*dead, alive]:
        subscription.cancel()
    assert backend.cancelled == 1

pid = os.fork()
if pid == 0:
    asyncio.run(child())
    os.write(1, b"child\\n")
    os._exit(0)
forked.set()
assert os.waitpid(pid, 0)[1] == 0

sink.release.set()
thread.join()
other.join()
backend.push(8)
assert sink.pushed[-1] == (8, 0)
for subscription in [*dead, alive]:
    subscription.cancel()
print(backend.subscribed, backend.cancelled)
"""
    assert output_of(code).split() == ["child", "2", "2"]


def test_object_that_is_shared_is_freed_after_its_last_watch() -> None:
    """Nothing of the package keeps a shared backend alive."""
    shared = share(ManualBackend())
    shared.subscribe(RecordingSink(), initial=False).cancel()
    reference = weakref.ref(shared)
    del shared
    gc.collect()
    assert reference() is None


def test_many_dropped_watches_of_a_name_leave_one_registration_to_cancel() -> None:
    """The client counts one registration for all of them, and then none."""
    client = SimulatedBackend()
    shared = share(client)
    subscriptions = [shared.subscribe(RecordingSink(), initial=False) for _ in range(100)]
    assert client.subscriber_count == 1
    for subscription in subscriptions:
        reaper.hand_over(subscription.cancel)
    wait_until(lambda: client.subscriber_count == 0, "the reaper has cancelled them")
