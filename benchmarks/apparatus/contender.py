"""The base of the contenders, and the steps into a loop that several of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from time import monotonic_ns
from typing import Any, ClassVar, Final, Self

from aioteredo import NotificationType, PortEvent

from . import loops
from .sources import Source

Consumer = Callable[[Any], bool]

DEFAULT_BUFFER: Final = 16  # the default of watch_teredo_port()

_TYPES: Final = {member.value: member for member in NotificationType}
_new_tuple = tuple.__new__


def make_event(port: int, notification_type: int) -> PortEvent:
    """Return an event, in the fastest way: each contender but aioteredo calls this."""
    kind = _TYPES.get(notification_type, notification_type)
    return _new_tuple(PortEvent, (port, kind, 0, monotonic_ns()))


class Contender(ABC):
    """A way to bring events into an async consumer. It is registered while it is entered.

    :param loop: the kind of the running event loop
    :param buffer: the size of the buffer, for a contender that has a bounded one
    """

    name: ClassVar[str]
    loops: ClassVar[tuple[str, ...]] = loops.ASYNCIO
    keeps_events: ClassVar[bool] = True
    sees_every_event: ClassVar[bool] = True  # of a burst
    callback_waits_for_loop: ClassVar[bool] = False
    longest_burst: ClassVar[int] = 1_000_000  # a slow contender would need minutes for it

    def __init__(self, source: Source, loop: str, buffer: int) -> None:
        self.source = source
        self.loop = loop
        self.buffer = buffer
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
    """A contender whose own callback the notifying thread calls."""

    async def open(self) -> None:
        self.resources.callback(self.source.attach(self.callback))

    @abstractmethod
    def callback(self, port: int, notification_type: int) -> None: ...


class PostsToLoop(CallbackContender):
    post: Callable[..., object]

    async def open(self) -> None:
        self.post = loops.post(self.loop)
        await super().open()


class PutsInLoop(PostsToLoop):
    """The notifying thread builds the event; the loop's thread puts it into the queue."""

    put: Callable[[PortEvent], object]

    def callback(self, port: int, notification_type: int) -> None:
        self.post(self.put, make_event(port, notification_type))


class PutsInCallback(CallbackContender):
    """The notifying thread puts the event into a queue that is safe for threads."""

    put: Callable[[PortEvent], object]

    def callback(self, port: int, notification_type: int) -> None:
        self.put(make_event(port, notification_type))


class AwaitsGet(CallbackContender):
    """The queue's ``get`` returns without a suspension while the queue has events."""

    get: Callable[[], Awaitable[PortEvent]]

    async def consume(self, consumer: Consumer) -> None:
        get = self.get
        while not consumer(await get()):
            pass


class ReceivesFromStream(CallbackContender):
    """The stream's ``receive`` gives other tasks a turn each time, which slows a burst.

    ``receive_nowait`` does not, so it is tried first.
    """

    would_block: ClassVar[type[Exception]]
    stream: Any

    async def consume(self, consumer: Consumer) -> None:
        receive_nowait = self.stream.receive_nowait
        receive = self.stream.receive
        would_block = self.would_block
        while True:
            try:
                event = receive_nowait()
            except would_block:
                event = await receive()
            if consumer(event):
                return
