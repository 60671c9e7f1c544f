"""The ways that a user could choose to bring the events of a callback into a consumer.

Each is used in its fastest documented way. All get the same two arguments, make the same
:class:`~aioteredo.PortEvent` of them and hand it to the same function, the consumer.
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
    PutsInCallback,
    PutsInLoop,
    ReceivesFromStream,
    make_event,
)
from .floors import BareDeque, Floor, SecondFloor, TrioFloor, TrioSecondFloor

POLLING_INTERVAL: Final = 0.05  # seconds


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


class Recipe(AwaitsGet, PutsInLoop):
    """The usual way: ``call_soon_threadsafe(queue.put_nowait, event)``."""

    name = "recipe"

    async def open(self) -> None:
        queue: asyncio.Queue[PortEvent] = asyncio.Queue()
        self.put, self.get = queue.put_nowait, queue.get
        await super().open()


class TrioRecipe(ReceivesFromStream, PutsInLoop):
    """The usual way on trio: ``run_sync_soon(channel.send_nowait, event)``."""

    name = "recipe"
    loops = ("trio",)
    would_block = trio.WouldBlock

    async def open(self) -> None:
        send, receive = trio.open_memory_channel[PortEvent](math.inf)
        self.put, self.stream = send.send_nowait, receive
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
        send, receive = anyio.create_memory_object_stream[PortEvent](math.inf)
        self.resources.enter_context(send)
        self.resources.enter_context(receive)
        self.put, self.stream = send.send_nowait, receive
        await super().open()


class MemoryObjectStream(AnyioStream, PutsInLoop):
    name = "memory object stream"
    loops = loops.NAMES


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
        # A thread that still waits in get() would keep the interpreter from exiting.
        self.resources.callback(simple.put, None)
        await super().open()


class TrioToThread(ToThread):
    loops = ("trio",)
    in_thread = staticmethod(partial(trio.to_thread.run_sync, abandon_on_cancel=True))


class Polling(CallbackContender):
    """Polling sees only the latest port, at the time of its look."""

    name = "polling every 50 ms"
    loops = loops.NAMES
    sees_every_event = False

    def callback(self, port: int, notification_type: int) -> None:
        pass

    async def consume(self, consumer: Consumer) -> None:
        sleep = loops.sleep(self.loop)
        known = self.source.get_port()
        while True:
            await sleep(POLLING_INTERVAL)
            port = self.source.get_port()
            if port != known:
                known = port
                if consumer(make_event(port, 0)):
                    return


CONTENDERS: Final[tuple[type[Contender], ...]] = (
    *(Floor, TrioFloor, SecondFloor, TrioSecondFloor, Aioteredo, Recipe, TrioRecipe),
    *(RunCoroutineThreadsafe, Janus, Culsans, Aiologic, MemoryObjectStream, Portal),
    *(ToThread, TrioToThread, Polling),
)
# Those that deliver every event, and those of them that do so after a stalled loop goes on.
DELIVERING: Final = tuple(
    kind for kind in CONTENDERS if kind.keeps_events and kind.sees_every_event
)
STALLABLE: Final = tuple(kind for kind in DELIVERING if not kind.callback_waits_for_loop)


def find_contender(name: str, loop: str) -> type[Contender]:
    """Return the contender of that name on that kind of loop."""
    candidates: tuple[type[Contender], ...] = (*CONTENDERS, BareDeque)
    (found,) = (kind for kind in candidates if kind.name == name and loop in kind.loops)
    return found
