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
from ..apparatus.contenders import ALL, Recipe, find
from ..apparatus.measure import Cell, Measure, Metric, Plan, Samples, for_each
from ..apparatus.sources import LAST_PORT, SOURCES
from ..apparatus.threads import on_thread


class Stalled(Measure):
    """Callbacks while the loop's thread is blocked."""

    name = "stalled"
    title = "What a stalled loop holds"
    base = Recipe.name
    metrics: ClassVar = {
        "handles": Metric("", exact=True),
        "events": Metric("", exact=True),
        "memory": Metric("B"),
    }
    quick, full = Plan(1, 5_000), Plan(1, 100_000)

    def cells(self) -> list[Cell]:
        holding = [
            c for c in ALL if c.keeps_events and c.sees_each and not c.waits_for_loop
        ]
        return for_each(((c.name, c.loops) for c in holding), ["python"])

    def run(self, cell: Cell, size: int) -> Samples:
        contender = find(cell.contender, cell.loop)
        source = SOURCES[cell.case]()
        events = 0

        def consumer(event: PortEvent) -> bool:
            nonlocal events
            events += 1
            return event.port == LAST_PORT

        async def main() -> tuple[int, int]:
            async with (
                contender(source, cell.loop, BUFFER) as opened,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(opened.consume, consumer)
                await anyio.wait_all_tasks_blocked()
                gc.collect()
                before = _posted(cell.loop)  # kept, so that none has the place of one
                tracemalloc.start()
                on_thread(lambda: source.burst(size))()  # the loop's thread waits here
                gc.collect()
                memory, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                known = set(map(id, before))
                handles = sum(id(call) not in known for call in _posted(cell.loop))
            return handles, memory

        handles, memory = loops.run(cell.loop, main)
        return {"handles": [handles], "events": [events], "memory": [memory]}


def _posted(loop: str) -> list[object]:
    """What is posted to the running loop and not run yet, or held still by who posted."""
    if loop == "trio":
        return list(trio.lowlevel.current_trio_token()._reentry_queue.queue)
    # a loop has no public list; its handles are objects like any other
    return [o for o in gc.get_objects() if type(o).__name__ == "Handle"]
