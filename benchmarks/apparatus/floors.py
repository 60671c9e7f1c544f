"""The floors, which carry no event, and the ceiling, which carries bare numbers."""

from __future__ import annotations

import asyncio
from collections import deque

import trio

from .contender import Consumer, PostsToAsyncio, PostsToTrio


class Floor(PostsToAsyncio):
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


class TrioFloor(PostsToTrio):
    name = "floor"
    keeps_events = False

    def callback(self, port: int, notification_type: int) -> None:  # noqa: ARG002
        self.post(trio.lowlevel.reschedule, self.task)

    async def consume(self, consumer: Consumer) -> None:
        self.task = trio.lowlevel.current_task()
        while True:
            await trio.lowlevel.wait_task_rescheduled(_abort)
            if consumer(None):
                return


def _abort(_: object) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED


class SecondFloor(Floor):
    name = "second floor"


class TrioSecondFloor(TrioFloor):
    name = "second floor"


class BareDeque(PostsToAsyncio):
    """A bare deque of ints and a flag: what is left out here is what the rest pays for.

    No bound, no type, no time, no number, no error, no closing, one loop.
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
