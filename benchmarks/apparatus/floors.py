"""The floors, which only wake the consumer, and a bare deque, which carries only numbers.

The floors are the least that it costs to get into a loop. The second floor is the same as
the first: the difference between them is the noise of the run.
"""

from __future__ import annotations

import asyncio
from collections import deque

import trio

from .contender import Consumer, PostsToLoop


class Floor(PostsToLoop):
    name = "floor"
    keeps_events = False

    async def open(self) -> None:
        self.new_future = asyncio.get_running_loop().create_future
        self.future = self.new_future()
        await super().open()

    def callback(self, port: int, notification_type: int) -> None:  # noqa: ARG002
        self.post(self.future.set_result, None)

    async def consume(self, consumer: Consumer) -> None:
        while True:
            following = self.new_future()
            await self.future
            self.future = following
            if consumer(None):
                return


class TrioFloor(PostsToLoop):
    name = "floor"
    loops = ("trio",)
    keeps_events = False

    def callback(self, port: int, notification_type: int) -> None:  # noqa: ARG002
        self.post(trio.lowlevel.reschedule, self.task)

    async def consume(self, consumer: Consumer) -> None:
        self.task = trio.lowlevel.current_task()
        while True:
            await trio.lowlevel.wait_task_rescheduled(abort)
            if consumer(None):
                return


def abort(_: object) -> trio.lowlevel.Abort:
    """Allow trio to cancel a task that waits to be rescheduled."""
    return trio.lowlevel.Abort.SUCCEEDED


class SecondFloor(Floor):
    name = "second floor"


class TrioSecondFloor(TrioFloor):
    name = "second floor"


class BareDeque(PostsToLoop):
    """A deque of ints and a flag, without all that makes an event of a number.

    It has no bound, type, time, missed events, errors, closing, and only one loop.
    aioteredo's difference from it is the price of these.
    """

    name = "deque and flag, ints only"

    async def open(self) -> None:
        self.deque: deque[int] = deque()
        self.woken = False
        self.new_future = asyncio.get_running_loop().create_future
        self.future = self.new_future()
        await super().open()

    def callback(self, port: int, notification_type: int) -> None:  # noqa: ARG002
        self.deque.append(port)
        if not self.woken:
            self.woken = True
            self.post(self.wake)

    def wake(self) -> None:
        self.woken = False
        if not self.future.done():
            self.future.set_result(None)

    async def consume(self, consumer: Consumer) -> None:
        pop = self.deque.popleft
        while True:
            try:
                port = pop()
            except IndexError:
                await self.future
                self.future = self.new_future()
                continue
            if consumer(port):
                return
