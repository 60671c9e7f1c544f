"""Ctrl-C at any step of opening or closing leaves nothing registered."""

from __future__ import annotations

import _thread
import asyncio
import gc
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

import pytest
import trio

from aioteredo import PortEventStream, SimulatedBackend, _registration, watch_teredo_port
from aioteredo._registry import registry

from ..native import StandIn
from ..support.backends import CountingBackend
from ..support.waiting import in_time, join, start_thread, wait_until

every_loop = pytest.mark.every_loop


def test_ctrl_c_while_opening_leaves_nothing_registered(stand_in: StandIn) -> None:
    """Ctrl-C ends trio at once, and the thread that registers then cancels."""
    stand_in.hold(True)

    async def main() -> None:
        async with watch_teredo_port(initial=True, backend=stand_in.backend):
            pytest.fail("entered")

    def interrupt() -> None:
        stand_in.wait_in_flight()
        _thread.interrupt_main()

    thread = start_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        trio.run(in_time, main, "the interrupt")
    join(thread)
    stand_in.hold(False)
    wait_until(
        lambda: stand_in.cancelled >= 1 and not _registration._subscriptions,
        "the registration is cancelled",
    )

    assert (stand_in.registered, stand_in.cancelled, stand_in.misused) == (1, 1, 0)


def run_on_asyncio(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *main* on a loop without a SIGINT handler of its own, unlike ``asyncio.run``."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


@pytest.fixture
def interrupt() -> Iterator[Callable[[str], None]]:
    """Return a function that raises SIGINT when a function of the package is called."""

    def interrupt(name: str) -> None:
        def profile(frame: FrameType, event: str, _: object) -> None:
            code = frame.f_code
            if (
                event == "call"
                and code.co_qualname == name
                and "aioteredo" in code.co_filename
            ):
                sys.setprofile(None)
                interrupted.append(name)
                signal.raise_signal(signal.SIGINT)

        sys.setprofile(profile)

    interrupted: list[str] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield interrupt
    sys.setprofile(None)
    signal.signal(signal.SIGINT, before)

    assert interrupted, "the function was not called"


@pytest.mark.parametrize("run", [run_on_asyncio, trio.run], ids=["asyncio", "trio"])
@pytest.mark.parametrize("leave", ["aclose", "the block"])
@pytest.mark.parametrize(
    "place",
    [
        "EventStream._leave",
        "Mailbox.close",
        "ParkingSpot.__init__.<locals>.wake",
        "Registration.close",
        "ParkingSpot.__init__.<locals>.prepare",
        "run_sync",
        "start_thread",
    ],
)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_ctrl_c_while_closing_leaves_nothing_registered(
    client: SimulatedBackend,
    interrupt: Callable[[str], None],
    run: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
    leave: str,
    place: str,
) -> None:
    """If KeyboardInterrupt comes between any two steps of closing, the reaper cancels."""

    async def main() -> None:
        watch = watch_teredo_port(backend=client)
        events = await watch.__aenter__()
        interrupt(place)
        await (events.aclose() if leave == "aclose" else watch.__aexit__(None, None, None))

    with pytest.raises(KeyboardInterrupt):
        run(main)
    gc.collect()
    wait_until(lambda: client.subscriber_count == 0, "the registration was cancelled")


def test_ctrl_c_while_closing_a_stream_that_is_kept_leaves_nothing_registered(
    client: SimulatedBackend, interrupt: Callable[[str], None]
) -> None:
    """The reaper cancels although no finalizer asks for it."""
    kept: list[PortEventStream] = []

    async def main() -> None:
        kept.append(await watch_teredo_port(backend=client).__aenter__())
        interrupt("Mailbox.close")
        await kept[0].aclose()

    with pytest.raises(KeyboardInterrupt):
        run_on_asyncio(main)
    wait_until(lambda: client.subscriber_count == 0, "the registration was cancelled")


def test_stream_whose_closing_ctrl_c_prevented_warns(
    client: SimulatedBackend, interrupt: Callable[[str], None]
) -> None:
    """A stream that was interrupted before it began to close is an unclosed stream."""

    async def main() -> None:
        watch = watch_teredo_port(backend=client)
        await watch.__aenter__()
        interrupt("Watch.__aexit__")
        await watch.__aexit__(None, None, None)

    with pytest.warns(ResourceWarning, match="unclosed"):
        with pytest.raises(KeyboardInterrupt):
            run_on_asyncio(main)
        gc.collect()

    wait_until(lambda: client.subscriber_count == 0, "the registration was cancelled")


def test_ctrl_c_at_exit_does_not_prevent_any_cancel() -> None:
    """An interrupted cancel is repeated after the others, and then Ctrl-C is raised."""
    interruptions = iter([KeyboardInterrupt, None, None, KeyboardInterrupt])

    def raise_next() -> None:
        interruption = next(interruptions, None)
        if interruption is not None:
            raise interruption

    backend = CountingBackend(on_cancel=raise_next)
    loop = asyncio.new_event_loop()
    watches = [watch_teredo_port(backend=backend) for _ in range(5)]
    for watch in watches:
        loop.run_until_complete(watch.__aenter__())
    with pytest.raises(KeyboardInterrupt):
        registry.cancel_all()
    assert (backend.subscribed, backend.cancelled) == (5, 5)
    loop.close()


class InterruptedLock:
    """A lock that Ctrl-C interrupts once, right before or after it is acquired."""

    def __init__(self, moment: str) -> None:
        self._lock = threading.RLock()
        self._interruptions = [moment]

    def acquire(self) -> bool:
        self._interrupt("before")
        assert self._lock.acquire(timeout=1), "the lock is still held"
        self._interrupt("after")
        return True

    def _interrupt(self, moment: str) -> None:
        if moment in self._interruptions:
            self._interruptions.remove(moment)
            raise KeyboardInterrupt

    __enter__ = acquire

    def release(self) -> None:
        self._lock.release()

    def __exit__(self, *_: object) -> None:
        self.release()

    def is_free(self) -> bool:
        free: list[bool] = []
        join(start_thread(lambda: free.append(self._lock.acquire(blocking=False))))
        return free == [True]


@every_loop
@pytest.mark.parametrize("lock", ["the registration's", "the tables'"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_ctrl_c_at_exit_as_a_lock_is_acquired_leaves_the_lock_free(
    client: SimulatedBackend, lock: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt acquires the lock and cancels."""
    interrupted = InterruptedLock(moment)
    watch = watch_teredo_port(backend=client)
    events = await watch.__aenter__()
    if lock == "the registration's":
        events._registration._lock = interrupted  # type: ignore[assignment]
    else:
        monkeypatch.setattr(registry, "lock", interrupted)

    with pytest.raises(KeyboardInterrupt):
        registry.cancel_all()
    assert interrupted.is_free()
    assert not _registration._subscriptions
    assert client.subscriber_count == 0
