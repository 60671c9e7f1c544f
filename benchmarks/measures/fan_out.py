"""One notification and many watches, all in one loop.

From the entry of the notification until the last consumer has its event, against waking
as many bare Futures: with a post for each of them, which is what separate watches need,
and with one post for all, which is what somebody could do who knows that they belong
together. What lies between the two is the price of the posts.
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

from aioteredo import PortEventStream, watch_teredo_port

from ..apparatus import loops
from ..apparatus.measure import (
    WARM_UP,
    Measure,
    Metric,
    Samples,
    Setup,
    Workload,
    setups_for,
)
from ..apparatus.sources import PythonThread, TimeStamps
from ..apparatus.threads import start_thread

WATCHES: Final = (1, 10, 100, 1_000, 10_000)
NOTIFICATIONS: Final = 10


class ConsumerGroup(ABC):
    """So many consumers; each calls *consumer* with each event."""

    name: ClassVar[str]

    def __init__(self, source: PythonThread, loop: str, number: int) -> None:
        self.source, self.loop, self.number = source, loop, number

    @abstractmethod
    async def open(self, resources: AsyncExitStack) -> None: ...

    @abstractmethod
    async def consume(self, index: int, consumer: Callable[[], object]) -> None: ...


class Watches(ConsumerGroup):
    name = "aioteredo"

    async def open(self, resources: AsyncExitStack) -> None:
        self.streams: list[PortEventStream] = [
            await resources.enter_async_context(watch_teredo_port(backend=self.source))
            for _ in range(self.number)
        ]

    async def consume(self, index: int, consumer: Callable[[], object]) -> None:
        async for _ in self.streams[index]:
            consumer()


class Futures(ConsumerGroup):
    name = "Futures, a post each"

    async def open(self, resources: AsyncExitStack) -> None:
        self.waiting: list[Any] = [None] * self.number
        if self.loop == "trio":
            self.post: Callable[..., object] = (
                trio.lowlevel.current_trio_token().run_sync_soon
            )
            self.wake: Callable[[Any], object] = trio.lowlevel.reschedule
        else:
            self.post = asyncio.get_running_loop().call_soon_threadsafe
            self.wake = _set_result
        resources.callback(self.source.attach(self.callback))
        resources.callback(self.waiting.clear)  # for a callback that is running

    def callback(self, port: int, notification_type: int) -> None:  # noqa: ARG002
        post, wake = self.post, self.wake
        for waiting in self.waiting:
            post(wake, waiting)

    async def consume(self, index: int, consumer: Callable[[], object]) -> None:
        if self.loop == "trio":
            self.waiting[index] = trio.lowlevel.current_task()
            while True:
                await trio.lowlevel.wait_task_rescheduled(_abort)
                consumer()
        new_future = asyncio.get_running_loop().create_future
        self.waiting[index] = future = new_future()
        while True:
            await future
            self.waiting[index] = future = new_future()  # before the next may come
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


def _abort(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED


GROUPS: Final[dict[str, type[ConsumerGroup]]] = {
    group.name: group for group in (Watches, Futures, FuturesWithOnePost)
}


class FanOut(Measure):
    """One notification, many watches."""

    name = "fan-out"
    title = "Fan-out: until the last of so many consumers has it"
    base = Futures.name
    metrics: ClassVar = {"time": Metric("ns"), "time per watch": Metric("ns")}
    quick, full = Workload(1, 1_000), Workload(5, WATCHES[-1])
    pinned = True

    def setups(self) -> list[Setup]:
        return setups_for(
            ((name, loops.NAMES) for name in GROUPS), [str(number) for number in WATCHES]
        )

    def fits(self, setup: Setup, size: int) -> bool:
        return int(setup.case) <= size

    def run(self, setup: Setup, size: int) -> Samples:  # noqa: ARG002
        number, source, received, ends = int(setup.case), PythonThread(), 0, list[int]()
        done = anyio.Event()
        group = GROUPS[setup.contender](source, setup.loop, number)

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
                    result = start_thread(lambda: source.pace(NOTIFICATIONS), pinned=True)
                    source.resume()
                    await done.wait()
                    tasks.cancel_scope.cancel()
                return result()

        stamps = loops.run(setup.loop, main)
        times = [end - entered for end, entered in zip(ends, stamps.entered, strict=True)]
        times = times[WARM_UP:]
        return {"time": times, "time per watch": [time / number for time in times]}
