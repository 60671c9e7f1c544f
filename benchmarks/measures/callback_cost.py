"""What the callback costs the notifying thread, which a system
may share among all that it notifies. That is measured in C, around the callback: with
an idle consumer, which has to be woken, and with a loop that is stalled, where a wake-up
is pending already.
"""

from __future__ import annotations

from typing import ClassVar, Final

import anyio

from ..apparatus import loops
from ..apparatus.contender import BUFFER, Contender
from ..apparatus.contenders import ALL, find
from ..apparatus.measure import (
    WARM_UP,
    Cell,
    Measure,
    Metric,
    Plan,
    Samples,
    check,
    for_each,
)
from ..apparatus.sources import LAST_PORT, NativeThread, Source, Stamps
from ..apparatus.threads import on_thread
from .latency import pace

IDLE: Final = "idle consumer"
STALLED: Final = "stalled loop"


class CallbackCost(Measure):
    """The notifying thread's time inside the callback."""

    name = "callback"
    title = "What the callback costs the notifying thread"
    base = "empty ctypes callback"
    metrics: ClassVar = {"time": Metric("ns", distribution=True)}
    quick, full = Plan(2, 30), Plan(20, 100)
    apart = True

    def cells(self) -> list[Cell]:
        seeing = [c for c in ALL if c.sees_each]
        holding = [c for c in seeing if c.keeps_events and not c.waits_for_loop]
        base = (self.base, loops.EVERY)
        return [
            *for_each([base, *((c.name, c.loops) for c in seeing)], [IDLE]),
            *for_each([base, *((c.name, c.loops) for c in holding)], [STALLED]),
        ]

    def run(self, cell: Cell, size: int) -> Samples:
        source = NativeThread()
        if cell.contender == self.base:
            stamps = _pace_empty(source, cell, size)
        elif cell.case == IDLE:
            contender = find(cell.contender, cell.loop)
            _, stamps, events = pace(contender, cell, source, size, 0)
            check(len(events) == size, cell, "lost events")
        else:
            stamps = _stall(find(cell.contender, cell.loop), cell, source, size)
        costs = [left - entered for entered, left in zip(*stamps, strict=True)]
        return {"time": costs[WARM_UP:]}


def _stall(contender: type[Contender], cell: Cell, source: Source, count: int) -> Stamps:
    async def main() -> Stamps:
        async with (
            contender(source, cell.loop, BUFFER) as opened,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(opened.consume, lambda event: event.port == LAST_PORT)
            await anyio.wait_all_tasks_blocked()
            # the loop's thread waits here
            stamps = on_thread(lambda: source.burst(count), apart=True)()
        return stamps  # noqa: RET504 - a task group may swallow what is raised in it

    return loops.run(cell.loop, main)


def _pace_empty(source: NativeThread, cell: Cell, count: int) -> Stamps:
    detach = source.register(lambda context, port, kind: None)  # noqa: ARG005
    call = source.burst if cell.case == STALLED else source.pace_by_itself
    stamps = on_thread(lambda: call(count), apart=True)()
    detach()
    return stamps
