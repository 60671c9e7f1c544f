"""The reaper: one thread that cancels the watches that were dropped."""

from __future__ import annotations

import gc
import os
import threading
import warnings

import pytest

from aioteredo import Backend, SimulatedBackend, _reaper, _registration, watch_teredo_port

from ..support.backends import CountingBackend
from ..support.python import output_of
from ..support.waiting import limit, wait_until

every_loop = pytest.mark.every_loop


@every_loop
async def test_many_dropped_watches_share_one_thread(
    client: SimulatedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hundred watches that are dropped at once start a single thread."""
    release = threading.Event()
    slow = CountingBackend(on_cancel=release.wait)
    backends: list[Backend] = [slow, *[client] * 100]
    watches = [watch_teredo_port(backend=backend) for backend in backends]
    streams = [await watch.__aenter__() for watch in watches]
    before = threading.active_count()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        watches.clear()
        streams.clear()
        gc.collect()

    reapers = [t for t in threading.enumerate() if t.name == "aioteredo reaper"]
    assert threading.active_count() <= before + 1
    release.set()
    wait_until(lambda: not _registration._subscriptions, "all of them were cancelled")

    assert len(reapers) <= 1
    assert client.subscriber_count == 0


def test_call_handed_over_as_the_reaper_ends_is_made() -> None:
    """A call that comes between the last look of the thread and its end is not lost."""
    reaper = _reaper.Reaper()
    made = threading.Event()

    class HandsOverAtLastLook(type(reaper._calls)):  # type: ignore[misc]
        late = iter([made.set])

        def empty(self) -> bool:
            result: bool = super().empty()
            if result and threading.current_thread() is not threading.main_thread():
                for call in self.late:
                    reaper.hand_over(call)
            return result

    reaper._calls = HandsOverAtLastLook()
    reaper.hand_over(lambda: None)
    assert made.wait(limit())
    wait_until(lambda: not reaper._running.locked(), "the reaper has ended")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_child_of_a_fork_starts_a_thread_of_its_own() -> None:
    """The child makes its calls, and none of its parent's, whose thread is not there."""
    code = """
import os, sys, threading, warnings
from aioteredo._reaper import reaper

warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
running, release = threading.Event(), threading.Event()
reaper.hand_over(lambda: (running.set(), release.wait()))
reaper.hand_over(lambda: calls.append("the parent's"))
calls, done = [], threading.Event()
running.wait()
pid = os.fork()
if pid == 0:
    reaper.hand_over(lambda: calls.append("the child's"))
    reaper.hand_over(done.set)
    done.wait(5)
    print(calls, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
release.set()
"""
    assert output_of(code) == '["the child\'s"]\n'
