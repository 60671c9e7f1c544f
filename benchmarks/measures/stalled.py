"""The handles, events and memory that a loop holds while its thread is blocked."""

from __future__ import annotations

import gc
import tracemalloc
from typing import ClassVar

import anyio
import trio

from aioteredo import PortEvent

from ..apparatus import loops
from ..apparatus.contender import DEFAULT_BUFFER
from ..apparatus.contenders import STALLABLE, Recipe, find_contender
from ..apparatus.measure import Measure, Metric, Samples, Setup, Workload
from ..apparatus.sources import LAST_PORT, SOURCES
from ..apparatus.threads import start_thread


class Stalled(Measure):
    name = "stalled"
    title = "Held by a stalled loop"
    base = Recipe.name
    metrics: ClassVar = {
        "handles": Metric("", is_count=True),
        "events": Metric("", is_count=True),
        "memory": Metric("B"),
    }
    quick, full = Workload(1, 5_000), Workload(1, 100_000)

    def setups(self) -> list[Setup]:
        return self.combine(((kind.name, kind.loops) for kind in STALLABLE), ["python"])

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
                contender(source, setup.loop, DEFAULT_BUFFER) as opened,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(opened.consume, consumer)
                await anyio.wait_all_tasks_blocked()
                gc.collect()

                # The list keeps these handles alive, so that no new one gets their id().
                before = _posted_handles(setup.loop)
                tracemalloc.start()
                start_thread(lambda: source.burst(size))()  # This stalls the loop.
                gc.collect()
                memory, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()

                known = {id(handle) for handle in before}
                after = _posted_handles(setup.loop)
                handles = sum(id(handle) not in known for handle in after)
            return handles, memory

        handles, memory = loops.run(setup.loop, main)
        return {"handles": [handles], "events": [events], "memory": [memory]}


def _posted_handles(loop: str) -> list[object]:
    """Return the callbacks that the running loop, or a contender, still holds."""
    if loop == "trio":
        return list(trio.lowlevel.current_trio_token()._reentry_queue.queue)
    # asyncio and uvloop have no list of them, but the garbage collector knows each.
    return [item for item in gc.get_objects() if type(item).__name__ == "Handle"]
