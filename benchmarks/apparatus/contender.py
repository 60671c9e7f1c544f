"""The base of the contenders, and the ways into a loop that several of them share."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from time import monotonic_ns
from typing import Any, ClassVar, Final, Self

import trio

from aioteredo import NotificationType, PortEvent

from . import loops
from .sources import Source

Consumer = Callable[[Any], bool]

BUFFER: Final = 16
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
    sees_every_event: ClassVar[bool] = True  # a burst too, event by event
    callback_waits_for_loop: ClassVar[bool] = (
        False  # the callback does: a stalled loop stalls it
    )
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


class CallbackContender(Contender):
    """One whose own callback the notifying thread calls."""

    async def open(self) -> None:
        self.resources.callback(self.source.attach(self.callback))

    @abstractmethod
    def callback(self, port: int, notification_type: int) -> None: ...


class PostsToAsyncio(CallbackContender):
    post: Callable[..., object]

    async def open(self) -> None:
        self.post = asyncio.get_running_loop().call_soon_threadsafe
        await super().open()


class PostsToTrio(CallbackContender):
    loops = ("trio",)
    post: Callable[..., object]

    async def open(self) -> None:
        self.post = trio.lowlevel.current_trio_token().run_sync_soon
        await super().open()


class PutsInLoop(CallbackContender):
    """The event is built by the notifying thread, and put by the loop's."""

    post: Callable[..., object]
    put: Callable[[PortEvent], object]

    def callback(self, port: int, notification_type: int) -> None:
        self.post(self.put, make_event(port, notification_type))


class PutsInCallback(CallbackContender):
    """A queue that may be put to from any thread."""

    put: Callable[[PortEvent], object]

    def callback(self, port: int, notification_type: int) -> None:
        self.put(make_event(port, notification_type))


class AwaitsGet(CallbackContender):
    """An async ``get`` that returns at once while there is something."""

    get: Callable[[], Awaitable[PortEvent]]

    async def consume(self, consumer: Consumer) -> None:
        get = self.get
        while not consumer(await get()):
            pass


class ReceivesFromStream(CallbackContender):
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
