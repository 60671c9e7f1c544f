"""What a user would pick to bring a callback's event into an async consumer.

One small adapter each, by its own documented and fastest way. All get the same two
arguments, build the same :class:`~aioteredo.PortEvent` of them (one call, 60 ns more than
building it in place), and hand it to the same *consumer*, a plain function whose first
act is to read the clock; it returns True when it has had enough. aioteredo is used
through its public face.

The floors keep nothing and carry nothing: they are what it costs to get into the loop
at all. There are two that are the same, and what lies between them is a run's noise.
"""

from __future__ import annotations

import asyncio
import math
import queue
from functools import partial
from typing import Any, ClassVar, Final

import aiologic
import anyio
import culsans
import janus
import trio
from anyio.from_thread import BlockingPortal

from aioteredo import PortEvent, watch_teredo_port

from . import loops
from .contender import (
    AwaitsGet,
    CallbackContender,
    Consumer,
    Contender,
    PostsToAsyncio,
    PostsToTrio,
    PutsInCallback,
    PutsInLoop,
    ReceivesFromStream,
    make_event,
)
from .floors import BareDeque, Floor, SecondFloor, TrioFloor, TrioSecondFloor

POLLING_INTERVAL: Final = 0.05  # s


class Aioteredo(Contender):
    name = "aioteredo"
    loops = loops.NAMES

    async def open(self) -> None:
        self.events = await self.resources.enter_async_context(
            watch_teredo_port(max_buffer_size=self.buffer, backend=self.source.backend)
        )

    async def consume(self, consumer: Consumer) -> None:
        async for event in self.events:
            if consumer(event):
                return


class Recipe(AwaitsGet, PutsInLoop, PostsToAsyncio):
    """What everybody writes: ``call_soon_threadsafe(queue.put_nowait, event)``."""

    name = "recipe"

    async def open(self) -> None:
        queue: asyncio.Queue[PortEvent] = asyncio.Queue()
        self.put, self.get = queue.put_nowait, queue.get
        await super().open()


class TrioRecipe(ReceivesFromStream, PutsInLoop, PostsToTrio):
    """The same on trio: ``run_sync_soon(channel.send_nowait, event)``."""

    name = "recipe"
    would_block = trio.WouldBlock

    async def open(self) -> None:
        send, self.receive = trio.open_memory_channel[PortEvent](math.inf)
        self.put = send.send_nowait
        await super().open()


class RunCoroutineThreadsafe(AwaitsGet):
    name = "run_coroutine_threadsafe(put)"
    longest_burst = 100_000

    async def open(self) -> None:
        self.running = asyncio.get_running_loop()
        queue: asyncio.Queue[PortEvent] = asyncio.Queue()
        self.put, self.get = queue.put, queue.get
        await super().open()

    def callback(self, port: int, notification_type: int) -> None:
        event = make_event(port, notification_type)
        asyncio.run_coroutine_threadsafe(self.put(event), self.running)


class Janus(AwaitsGet, PutsInCallback):
    name = "janus"

    async def open(self) -> None:
        queue: janus.Queue[PortEvent] = janus.Queue()
        self.resources.push_async_callback(queue.aclose)
        self.put, self.get = queue.sync_q.put, queue.async_q.get
        await super().open()


class Culsans(AwaitsGet, PutsInCallback):
    name = "culsans"
    loops = loops.NAMES

    async def open(self) -> None:
        queue: culsans.Queue[PortEvent] = culsans.Queue()
        self.put, self.get = queue.sync_q.put, queue.async_q.get
        await super().open()


class Aiologic(AwaitsGet, PutsInCallback):
    name = "aiologic"
    loops = loops.NAMES

    async def open(self) -> None:
        queue: aiologic.SimpleQueue[PortEvent] = aiologic.SimpleQueue()
        self.put, self.get = queue.put, queue.async_get
        await super().open()


class AnyioStream(ReceivesFromStream):
    would_block = anyio.WouldBlock

    async def open(self) -> None:
        send, self.receive = anyio.create_memory_object_stream[PortEvent](math.inf)
        self.resources.enter_context(send)
        self.resources.enter_context(self.receive)
        self.put = send.send_nowait
        await super().open()


class MemoryObjectStream(AnyioStream, PutsInLoop, PostsToAsyncio):
    name = "memory object stream"


class TrioMemoryObjectStream(AnyioStream, PutsInLoop, PostsToTrio):
    name = "memory object stream"


class Portal(AnyioStream):
    name = "BlockingPortal"
    loops = loops.NAMES
    callback_waits_for_loop = True
    longest_burst = 1_000

    async def open(self) -> None:
        self.portal = await self.resources.enter_async_context(BlockingPortal())
        await super().open()

    def callback(self, port: int, notification_type: int) -> None:
        self.portal.start_task_soon(self.put, make_event(port, notification_type))


class ToThread(AwaitsGet, PutsInCallback):
    name = "to_thread(queue.get)"
    longest_burst = 100_000
    in_thread: ClassVar[Any] = staticmethod(asyncio.to_thread)

    async def open(self) -> None:
        simple: queue.SimpleQueue[PortEvent | None] = queue.SimpleQueue()
        self.put, self.get = simple.put, partial(self.in_thread, simple.get)
        self.resources.callback(simple.put, None)  # for a thread that waits still
        await super().open()


class TrioToThread(ToThread):
    loops = ("trio",)
    in_thread = staticmethod(partial(trio.to_thread.run_sync, abandon_on_cancel=True))


class Polling(CallbackContender):
    """Sees the latest port only."""

    name = "polling every 50 ms"
    loops = loops.NAMES
    sees_every_event = False

    def callback(self, port: int, notification_type: int) -> None:
        pass

    async def consume(self, consumer: Consumer) -> None:
        sleep, known = loops.sleep(self.loop), self.source.get_port()
        while True:
            await sleep(POLLING_INTERVAL)
            port = self.source.get_port()
            if port != known:
                known = port
                if consumer(make_event(port, 0)):
                    return


CONTENDERS: Final[tuple[type[Contender], ...]] = (
    Floor,
    TrioFloor,
    SecondFloor,
    TrioSecondFloor,
    Aioteredo,
    Recipe,
    TrioRecipe,
    RunCoroutineThreadsafe,
    Janus,
    Culsans,
    Aiologic,
    MemoryObjectStream,
    TrioMemoryObjectStream,
    Portal,
    ToThread,
    TrioToThread,
    Polling,
)


def find_contender(name: str, loop: str) -> type[Contender]:
    """The contender of that name on that kind of loop."""
    candidates: tuple[type[Contender], ...] = (*CONTENDERS, BareDeque)
    (found,) = (c for c in candidates if c.name == name and loop in c.loops)
    return found
