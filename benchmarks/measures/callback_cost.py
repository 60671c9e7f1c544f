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
from ..apparatus.contenders import CONTENDERS, find_contender
from ..apparatus.measure import (
    WARM_UP,
    Measure,
    Metric,
    Samples,
    Setup,
    Workload,
    setups_for,
    verify,
)
from ..apparatus.sources import LAST_PORT, NativeThread, Source, TimeStamps
from ..apparatus.threads import start_thread
from .latency import run_paced

IDLE: Final = "idle consumer"
STALLED: Final = "stalled loop"


class CallbackCost(Measure):
    """The notifying thread's time inside the callback."""

    name = "callback"
    title = "What the callback costs the notifying thread"
    base = "empty ctypes callback"
    metrics: ClassVar = {"time": Metric("ns", distribution=True)}
    quick, full = Workload(2, 30), Workload(20, 100)
    pinned = True

    def setups(self) -> list[Setup]:
        seeing = [c for c in CONTENDERS if c.sees_every_event]
        holding = [c for c in seeing if c.keeps_events and not c.callback_waits_for_loop]
        base = (self.base, loops.NAMES)
        return [
            *setups_for([base, *((c.name, c.loops) for c in seeing)], [IDLE]),
            *setups_for([base, *((c.name, c.loops) for c in holding)], [STALLED]),
        ]

    def run(self, setup: Setup, size: int) -> Samples:
        source = NativeThread()
        if setup.contender == self.base:
            stamps = _run_empty(source, setup, size)
        elif setup.case == IDLE:
            contender = find_contender(setup.contender, setup.loop)
            _, stamps, events = run_paced(contender, setup, source, size, 0)
            verify(len(events) == size, setup, "lost events")
        else:
            stamps = _run_stalled(
                find_contender(setup.contender, setup.loop), setup, source, size
            )
        costs = [left - entered for entered, left in zip(*stamps, strict=True)]
        return {"time": costs[WARM_UP:]}


def _run_stalled(
    contender: type[Contender], setup: Setup, source: Source, count: int
) -> TimeStamps:
    async def main() -> TimeStamps:
        async with (
            contender(source, setup.loop, BUFFER) as opened,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(opened.consume, lambda event: event.port == LAST_PORT)
            await anyio.wait_all_tasks_blocked()
            # the loop's thread waits here
            stamps = start_thread(lambda: source.burst(count), pinned=True)()
        return stamps  # noqa: RET504 - a task group may swallow what is raised in it

    return loops.run(setup.loop, main)


def _run_empty(source: NativeThread, setup: Setup, count: int) -> TimeStamps:
    detach = source.register(lambda context, port, kind: None)  # noqa: ARG005
    call = source.burst if setup.case == STALLED else source.pace_without_consumer
    stamps = start_thread(lambda: call(count), pinned=True)()
    detach()
    return stamps
