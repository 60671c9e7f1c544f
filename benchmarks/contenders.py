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
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from time import monotonic_ns
from typing import Any, ClassVar, Final, Self

import aiologic
import anyio
import culsans
import janus
import trio
from anyio.from_thread import BlockingPortal

from aioteredo import NotificationType, PortEvent, watch_teredo_port

from . import loops
from .sources import Source

Consumer = Callable[[Any], bool]

POLLING_INTERVAL: Final = 0.05  # s
_TYPES: Final = {t.value: t for t in NotificationType}
_new_tuple = tuple.__new__


def make_event(port: int, notification_type: int) -> PortEvent:
    """An event, by the quickest way there is."""
    kind = _TYPES.get(notification_type, notification_type)
    return _new_tuple(PortEvent, (port, kind, 0, monotonic_ns()))


class Contender(ABC):
    """An async context manager, registered with its source meanwhile.

    :param loop: what kind of event loop is running
    :param buffer: how many events it has to hold, where that can be said
    """

    name: ClassVar[str]
    loops: ClassVar[tuple[str, ...]] = loops.ASYNCIO
    keeps_events: ClassVar[bool] = True  # the floors do not
    sees_each: ClassVar[bool] = True  # a burst too, event by event
    waits_for_loop: ClassVar[bool] = False  # the callback does: a stalled loop stalls it
    longest_burst: ClassVar[int] = 1_000_000  # some would take a minute for so many

    def __init__(self, source: Source, loop: str, buffer: int) -> None:
        self.source, self.loop, self.buffer = source, loop, buffer
        self.resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.resources.aclose()

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def consume(self, consumer: Consumer) -> None:
        """Call *consumer* with each event until it returns True."""


class Attached(Contender):
    """One whose own callback the notifying thread calls."""

    async def open(self) -> None:
        self.resources.callback(self.source.attach(self.callback))

    @abstractmethod
    def callback(self, port: int, notification_type: int) -> None: ...


class OnAsyncio(Attached):
    post: Callable[..., object]

    async def open(self) -> None:
        self.post = asyncio.get_running_loop().call_soon_threadsafe
        await super().open()


class OnTrio(Attached):
    loops = ("trio",)
    post: Callable[..., object]

    async def open(self) -> None:
        self.post = trio.lowlevel.current_trio_token().run_sync_soon
        await super().open()


class Posting(Attached):
    """The event is built by the notifying thread, and put by the loop's."""

    post: Callable[..., object]
    put: Callable[[PortEvent], object]

    def callback(self, port: int, notification_type: int) -> None:
        self.post(self.put, make_event(port, notification_type))


class Putting(Attached):
    """A queue that may be put to from any thread."""

    put: Callable[[PortEvent], object]

    def callback(self, port: int, notification_type: int) -> None:
        self.put(make_event(port, notification_type))


class Getting(Attached):
    """An async ``get`` that returns at once while there is something."""

    get: Callable[[], Awaitable[PortEvent]]

    async def consume(self, consumer: Consumer) -> None:
        get = self.get
        while not consumer(await get()):
            pass


class Streaming(Attached):
    """A stream whose ``receive`` lets others run each time: a burst would wait for them."""

    would_block: ClassVar[type[Exception]]
    receive: Any

    async def consume(self, consumer: Consumer) -> None:
        take, wait = self.receive.receive_nowait, self.receive.receive
        would_block = self.would_block
        while True:
            try:
                event = take()
            except would_block:
                event = await wait()
            if consumer(event):
                return


class Floor(OnAsyncio):
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


class TrioFloor(OnTrio):
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


class Aioteredo(Contender):
    name = "aioteredo"
    loops = loops.EVERY

    async def open(self) -> None:
        self.events = await self.resources.enter_async_context(
            watch_teredo_port(max_buffer_size=self.buffer, backend=self.source.backend)
        )

    async def consume(self, consumer: Consumer) -> None:
        async for event in self.events:
            if consumer(event):
                return


class Recipe(Getting, Posting, OnAsyncio):
    """What everybody writes: ``call_soon_threadsafe(queue.put_nowait, event)``."""

    name = "recipe"

    async def open(self) -> None:
        queue: asyncio.Queue[PortEvent] = asyncio.Queue()
        self.put, self.get = queue.put_nowait, queue.get
        await super().open()


class TrioRecipe(Streaming, Posting, OnTrio):
    """The same on trio: ``run_sync_soon(channel.send_nowait, event)``."""

    name = "recipe"
    would_block = trio.WouldBlock

    async def open(self) -> None:
        send, self.receive = trio.open_memory_channel[PortEvent](math.inf)
        self.put = send.send_nowait
        await super().open()


class RunCoroutineThreadsafe(Getting):
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


class Janus(Getting, Putting):
    name = "janus"

    async def open(self) -> None:
        queue: janus.Queue[PortEvent] = janus.Queue()
        self.resources.push_async_callback(queue.aclose)
        self.put, self.get = queue.sync_q.put, queue.async_q.get
        await super().open()


class Culsans(Getting, Putting):
    name = "culsans"
    loops = loops.EVERY

    async def open(self) -> None:
        queue: culsans.Queue[PortEvent] = culsans.Queue()
        self.put, self.get = queue.sync_q.put, queue.async_q.get
        await super().open()


class Aiologic(Getting, Putting):
    name = "aiologic"
    loops = loops.EVERY

    async def open(self) -> None:
        queue: aiologic.SimpleQueue[PortEvent] = aiologic.SimpleQueue()
        self.put, self.get = queue.put, queue.async_get
        await super().open()


class AnyioStream(Streaming):
    would_block = anyio.WouldBlock

    async def open(self) -> None:
        send, self.receive = anyio.create_memory_object_stream[PortEvent](math.inf)
        self.resources.enter_context(send)
        self.resources.enter_context(self.receive)
        self.put = send.send_nowait
        await super().open()


class MemoryObjectStream(AnyioStream, Posting, OnAsyncio):
    name = "memory object stream"


class TrioMemoryObjectStream(AnyioStream, Posting, OnTrio):
    name = "memory object stream"


class Portal(AnyioStream):
    name = "BlockingPortal"
    loops = loops.EVERY
    waits_for_loop = True
    longest_burst = 1_000

    async def open(self) -> None:
        self.portal = await self.resources.enter_async_context(BlockingPortal())
        await super().open()

    def callback(self, port: int, notification_type: int) -> None:
        self.portal.start_task_soon(self.put, make_event(port, notification_type))


class ToThread(Getting, Putting):
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


class Polling(Attached):
    """Sees the latest port only."""

    name = "polling every 50 ms"
    loops = loops.EVERY
    sees_each = False

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


class Ceiling(OnAsyncio):
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


ALL: Final[tuple[type[Contender], ...]] = (
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


def find(name: str, loop: str) -> type[Contender]:
    """The contender of that name on that kind of loop."""
    candidates: tuple[type[Contender], ...] = (*ALL, Ceiling)
    (found,) = (c for c in candidates if c.name == name and loop in c.loops)
    return found
