"""Fan-out: from the entry of a notification until the last of many consumers has its event.

Watches are compared with as many bare Futures. Separate watches need a post for each; a
user who knows that the Futures belong together needs only one post for all. The difference
between these two is the price of the posts.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import perf_counter_ns
from typing import Any, ClassVar, Final

import anyio
import trio

from aioteredo import Backend, PortEventStream, share, watch_teredo_port

from ..apparatus import loops
from ..apparatus.floors import abort
from ..apparatus.measure import WARM_UP, Measure, Metric, Samples, Setup, Workload
from ..apparatus.sources import PythonThread, TimeStamps
from ..apparatus.threads import start_thread

SIZES: Final = (1, 10, 100, 1_000, 10_000)
NOTIFICATIONS: Final = 10


class ConsumerGroup(ABC):
    """Consumers that a source notifies together."""

    name: ClassVar[str]

    def __init__(self, source: PythonThread, loop: str, size: int) -> None:
        self.source = source
        self.loop = loop
        self.size = size

    @abstractmethod
    async def open(self, resources: AsyncExitStack) -> None: ...

    @abstractmethod
    async def consume(self, index: int, consumer: Callable[[], object]) -> None:
        """Call *consumer* for each event of this member of the group, until cancelled."""


class Watches(ConsumerGroup):
    name = "aioteredo"

    def backend(self) -> Backend:
        return self.source

    async def open(self, resources: AsyncExitStack) -> None:
        backend = self.backend()
        self.streams: list[PortEventStream] = [
            await resources.enter_async_context(watch_teredo_port(backend=backend))
            for _ in range(self.size)
        ]

    async def consume(self, index: int, consumer: Callable[[], object]) -> None:
        async for _ in self.streams[index]:
            consumer()


class SharedWatches(Watches):
    """Watches that share one registration, as all watches of a name do."""

    name = "aioteredo, shared"

    def backend(self) -> Backend:
        return share(self.source)


class Futures(ConsumerGroup):
    """Bare Futures. On trio, tasks that wait to be rescheduled."""

    name = "Futures, a post each"

    async def open(self, resources: AsyncExitStack) -> None:
        self.waiting: list[Any] = [None] * self.size
        self.post = loops.post(self.loop)
        self.wake: Callable[[Any], object] = (
            trio.lowlevel.reschedule if self.loop == "trio" else _set_result
        )
        resources.callback(self.source.attach(self.callback))
        # After Ctrl-C a callback may still run. It must not wake tasks that are cancelled.
        resources.callback(self.waiting.clear)

    def callback(self, port: int, notification_type: int) -> None:  # noqa: ARG002
        post, wake = self.post, self.wake
        for waiting in self.waiting:
            post(wake, waiting)

    async def consume(self, index: int, consumer: Callable[[], object]) -> None:
        if self.loop == "trio":
            self.waiting[index] = trio.lowlevel.current_task()
            while True:
                await trio.lowlevel.wait_task_rescheduled(abort)
                consumer()

        new_future = asyncio.get_running_loop().create_future
        future = self.waiting[index] = new_future()
        while True:
            await future
            # The consumer may allow the next callback, which must find the next Future.
            future = self.waiting[index] = new_future()
            consumer()


class FuturesWithOnePost(Futures):
    name = "Futures, one post"

    def callback(self, port: int, notification_type: int) -> None:  # noqa: ARG002
        self.post(self.wake_all)

    def wake_all(self) -> None:
        wake = self.wake
        for waiting in self.waiting:
            wake(waiting)


def _set_result(future: asyncio.Future[None]) -> None:
    future.set_result(None)


GROUPS: Final[dict[str, type[ConsumerGroup]]] = {
    group.name: group for group in (Watches, SharedWatches, Futures, FuturesWithOnePost)
}


class FanOut(Measure):
    name = "fan-out"
    title = "Fan-out: until the last of the consumers has the event"
    base = Futures.name
    metrics: ClassVar = {"time": Metric("ns"), "time per watch": Metric("ns")}
    quick, full = Workload(1, 1_000), Workload(5, SIZES[-1])
    pinned = True

    def setups(self) -> list[Setup]:
        return self.combine(((name, loops.NAMES) for name in GROUPS), [*map(str, SIZES)])

    def fits(self, setup: Setup, size: int) -> bool:
        return int(setup.case) <= size

    def run(self, setup: Setup, size: int) -> Samples:  # noqa: ARG002
        number = int(setup.case)
        source = PythonThread()
        group = GROUPS[setup.contender](source, setup.loop, number)
        received = 0
        ends = list[int]()
        done = anyio.Event()

        def consumer() -> None:
            nonlocal received
            received += 1
            if received % number == 0:
                ends.append(perf_counter_ns())
                if len(ends) == NOTIFICATIONS:
                    done.set()
                else:
                    source.resume()

        async def main() -> TimeStamps:
            async with AsyncExitStack() as resources:
                await group.open(resources)
                async with anyio.create_task_group() as tasks:
                    for index in range(number):
                        tasks.start_soon(group.consume, index, consumer)
                    await anyio.wait_all_tasks_blocked()
                    join = start_thread(lambda: source.pace(NOTIFICATIONS), pinned=True)
                    source.resume()
                    await done.wait()
                    tasks.cancel_scope.cancel()
                return join()

        stamps = loops.run(setup.loop, main)
        times = [end - begin for end, begin in zip(ends, stamps.entered, strict=True)]
        times = times[WARM_UP:]
        return {"time": times, "time per watch": [time / number for time in times]}
