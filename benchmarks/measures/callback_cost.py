"""The time that a callback takes from the notifying thread.

The system may notify others from the same thread, and they wait for it. C code measures the
time around the callback: with an idle consumer, which the callback has to wake, and with a
stalled loop, for which a wake-up is already pending.
"""

from __future__ import annotations

from typing import ClassVar, Final

import anyio

from ..apparatus import loops
from ..apparatus.contender import DEFAULT_BUFFER, Contender
from ..apparatus.contenders import CONTENDERS, STALLABLE, find_contender
from ..apparatus.measure import WARM_UP, Measure, Metric, Samples, Setup, Workload
from ..apparatus.sources import LAST_PORT, NativeThread, TimeStamps
from ..apparatus.threads import start_thread
from .latency import run_paced

IDLE: Final = "idle consumer"
STALLED: Final = "stalled loop"


class CallbackCost(Measure):
    name = "callback"
    title = "Time that the callback takes from the notifying thread"
    base = "empty ctypes callback"
    metrics: ClassVar = {"time": Metric("ns", has_tail=True)}
    quick, full = Workload(2, 30), Workload(20, 100)
    pinned = True

    def setups(self) -> list[Setup]:
        base = (self.base, loops.NAMES)
        idle = [(kind.name, kind.loops) for kind in CONTENDERS if kind.sees_every_event]
        stalled = [(kind.name, kind.loops) for kind in STALLABLE]
        return [
            *self.combine([base, *idle], [IDLE]),
            *self.combine([base, *stalled], [STALLED]),
        ]

    def run(self, setup: Setup, size: int) -> Samples:
        source = NativeThread()
        if setup.contender == self.base:
            stamps = _run_empty(source, setup, size)
        elif setup.case == IDLE:
            contender = find_contender(setup.contender, setup.loop)
            _, stamps, events = run_paced(contender, setup, source, size, 0)
            setup.verify(len(events) == size, "lost events")
        else:
            contender = find_contender(setup.contender, setup.loop)
            stamps = _run_stalled(contender, setup, source, size)

        costs = [left - entered for entered, left in zip(*stamps, strict=True)]
        return {"time": costs[WARM_UP:]}


def _run_stalled(
    contender: type[Contender], setup: Setup, source: NativeThread, count: int
) -> TimeStamps:
    async def main() -> TimeStamps:
        async with (
            contender(source, setup.loop, DEFAULT_BUFFER) as opened,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(opened.consume, lambda event: event.port == LAST_PORT)
            await anyio.wait_all_tasks_blocked()
            join = start_thread(lambda: source.burst(count), pinned=True)
            stamps = join()  # This stalls the loop.
        return stamps  # noqa: RET504 - mypy wants it outside: a group may swallow errors

    return loops.run(setup.loop, main)


def _run_empty(source: NativeThread, setup: Setup, count: int) -> TimeStamps:
    cancel = source.register(lambda context, port, kind: None)  # noqa: ARG005
    call = source.burst if setup.case == STALLED else source.pace_without_consumer
    stamps = start_thread(lambda: call(count), pinned=True)()
    cancel()
    return stamps
