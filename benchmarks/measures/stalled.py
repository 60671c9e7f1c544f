"""What a stalled loop holds."""

from __future__ import annotations

import gc
import tracemalloc
from typing import ClassVar

import anyio
import trio

from aioteredo import PortEvent

from ..apparatus import loops
from ..apparatus.contender import BUFFER
from ..apparatus.contenders import CONTENDERS, Recipe, find_contender
from ..apparatus.measure import Measure, Metric, Samples, Setup, Workload, setups_for
from ..apparatus.sources import LAST_PORT, SOURCES
from ..apparatus.threads import start_thread


class Stalled(Measure):
    """Callbacks while the loop's thread is blocked."""

    name = "stalled"
    title = "What a stalled loop holds"
    base = Recipe.name
    metrics: ClassVar = {
        "handles": Metric("", is_count=True),
        "events": Metric("", is_count=True),
        "memory": Metric("B"),
    }
    quick, full = Workload(1, 5_000), Workload(1, 100_000)

    def setups(self) -> list[Setup]:
        holding = [
            c
            for c in CONTENDERS
            if c.keeps_events and c.sees_every_event and not c.callback_waits_for_loop
        ]
        return setups_for(((c.name, c.loops) for c in holding), ["python"])

    def run(self, setup: Setup, size: int) -> Samples:
        contender = find_contender(setup.contender, setup.loop)
        source = SOURCES[setup.case]()
        events = 0

        def consumer(event: PortEvent) -> bool:
            nonlocal events
            events += 1
            return event.port == LAST_PORT

        async def main() -> tuple[int, int]:
            async with (
                contender(source, setup.loop, BUFFER) as opened,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(opened.consume, consumer)
                await anyio.wait_all_tasks_blocked()
                gc.collect()
                before = _posted_handles(
                    setup.loop
                )  # kept, so that none has the place of one
                tracemalloc.start()
                start_thread(lambda: source.burst(size))()  # the loop's thread waits here
                gc.collect()
                memory, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                known = set(map(id, before))
                handles = sum(id(call) not in known for call in _posted_handles(setup.loop))
            return handles, memory

        handles, memory = loops.run(setup.loop, main)
        return {"handles": [handles], "events": [events], "memory": [memory]}


def _posted_handles(loop: str) -> list[object]:
    """What is posted to the running loop and not run yet, or held still by who posted."""
    if loop == "trio":
        return list(trio.lowlevel.current_trio_token()._reentry_queue.queue)
    # a loop has no public list; its handles are objects like any other
    return [o for o in gc.get_objects() if type(o).__name__ == "Handle"]
