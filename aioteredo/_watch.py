"""The public face of a watch: its block, its stream, and the one-shot question.

The block is a class and no ``@asynccontextmanager``: a generator would be finished by
whatever collects it, and a stream whose context manager was dropped must go on. Nothing
of the loop is held between entering and leaving, no task group, cancel scope or portal,
so that one task may enter and another leave, as async fixtures do.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, NoReturn, SupportsIndex

from anyio.abc import UnreliableObjectReceiveStream
from anyio.lowlevel import checkpoint

from ._backend import BackendLike
from ._checks import check_integer
from ._events import PortEvent
from ._loop import current_loop
from ._mailbox import Mailbox
from ._public import public
from ._registration import Registration
from ._selection import check_backend, resolve
from ._threads import run_sync


@public
def watch_teredo_port(
    *,
    initial: bool = False,
    max_buffer_size: int = 16,
    backend: BackendLike | None = None,
) -> AbstractAsyncContextManager[PortEventStream, None]:
    """Watch the UDP service port of this machine's Teredo client.

    ::

        async with watch_teredo_port(initial=True) as events:
            async for event in events:
                print(event.port)

    The watch is registered when the block is entered: no later change is missed. When
    the block has been left, no callback runs any more. Neither blocks the event loop,
    and a cancellation waits until the native call has returned.

    :param initial: begin with an event of type :attr:`NotificationType.INITIAL` that
        carries the port as it is now; it is there when the block is entered, and the
        first one unless a full buffer drops it
    :param max_buffer_size: how many events are kept for a consumer that is slow, 1 or
        more. Then the oldest goes, and the next one's ``missed`` counts it; with 1, the
        stream holds the latest event only
    :param backend: a backend or its name; the default is that of :func:`use_backend`,
        of the environment variable ``AIOTEREDO_BACKEND``, or of the platform
    :raises ValueError: if *max_buffer_size* is less than 1, or more than a deque holds
    :raises TypeError: if *max_buffer_size* is no integer, or *backend* no backend
    :raises BackendUnavailableError: on entering, if the backend cannot work here
    :raises BackendError: on entering, if the system refuses the registration or the
        initial port cannot be read; on leaving, if it refuses to cancel and no other
        exception is under way (else that exception gets a note)
    :raises RuntimeError: on entering a second time, or outside of asyncio and trio
    """
    max_buffer_size = check_integer("max_buffer_size", max_buffer_size, 1, sys.maxsize)
    if backend is not None:
        check_backend(backend)
    return _Watch(initial, max_buffer_size, backend)


@public
async def get_teredo_port(*, backend: BackendLike | None = None) -> int | None:
    """Ask once for the UDP service port of this machine's Teredo client.

    :param backend: as in :func:`watch_teredo_port`
    :return: the port, 1 to 65535, or None if the Teredo client has none
    :raises TypeError: if *backend* is no backend
    :raises BackendUnavailableError: if the backend cannot work here
    :raises BackendError: if the port cannot be read
    """
    if backend is not None:
        check_backend(backend)
    await checkpoint()
    return await run_sync(lambda: resolve(backend).get_port())


def _refuse_to_copy(watch: object) -> NoReturn:
    raise TypeError(
        f"a {type(watch).__name__.lstrip('_')} cannot be copied or pickled, because it "
        "stands for one registration; open another watch with watch_teredo_port()"
    )


@public
class PortEventStream(UnreliableObjectReceiveStream[PortEvent]):
    """The events of one watch, in the system's order, for one task at a time.

    Made by :func:`watch_teredo_port` and bound to the event loop that entered it. It is
    *unreliable* in anyio's sense: a slow consumer loses the oldest events, and
    :attr:`PortEvent.missed` says how many. The newest is never lost, also if a task is
    cancelled while it waits.
    """

    def __init__(self, mailbox: Mailbox, registration: Registration) -> None:
        self._mailbox = mailbox
        self._registration = registration

    def __repr__(self) -> str:
        mailbox = self._mailbox
        return (
            f"<aioteredo.{type(self).__name__} {mailbox.state}, "
            f"backend={self._registration.backend!r}, "
            f"buffered={mailbox.buffered}, missed={mailbox.missed}>"
        )

    async def receive(self) -> PortEvent:
        """Receive the next event, waiting for it if need be.

        An event that is ready is returned without a trip through the event loop, but
        for one in a while, so that other tasks get their turn.

        :raises ~anyio.ClosedResourceError: if the watch was closed, also while waiting
        :raises ~anyio.BusyResourceError: if another task waits for this watch's events;
            open two watches instead
        :raises BackendError: if the backend failed after it had registered the watch,
            once the events before that are received; its ``__cause__`` is the exception
            of the callback, if it was one
        """
        return await self._mailbox.receive()

    def __anext__(self) -> Coroutine[Any, Any, PortEvent]:
        # This stream has no end, so there is nothing to translate, and no frame for it.
        # Whoever iterates holds the stream itself.
        return self._mailbox.receive()

    async def aclose(self) -> None:
        """Close the watch: when this returns, no callback runs any more.

        A waiting task gets :exc:`~anyio.ClosedResourceError`. May be called again.

        :raises BackendError: if the system refuses to cancel; the stream is closed and
            late callbacks are ignored all the same
        """
        await self._leave(None)

    async def _leave(self, exc: BaseException | None) -> None:
        try:
            self._mailbox.close()
            await self._registration.leave(exc)
        except BaseException:
            # Ctrl-C may have struck between the two steps.
            self._registration.abandon()
            raise

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        _refuse_to_copy(self)

    def __del__(self) -> None:
        # An object that was made without __init__ has no registration.
        registration: Registration | None = getattr(self, "_registration", None)
        if registration is None:
            return

        left_behind = registration.left_behind and not self._mailbox.closed
        if registration.abandon() or left_behind:
            unclosed = repr(self)
            self._mailbox.close()
            warnings.warn(
                f"unclosed {unclosed}: leave the block of watch_teredo_port() or call "
                "aclose()",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )


class _Watch(AbstractAsyncContextManager[PortEventStream, None]):
    def __init__(
        self, initial: bool, max_buffer_size: int, backend: BackendLike | None
    ) -> None:
        self._initial = initial
        self._max_buffer_size = max_buffer_size
        self._backend = backend
        self._stream: PortEventStream | None = None

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        _refuse_to_copy(self)

    async def __aenter__(self) -> PortEventStream:
        if self._stream is not None:
            raise RuntimeError(
                "This watch has already been entered; call watch_teredo_port() again for "
                "another one."
            )
        loop = current_loop()
        mailbox = Mailbox(loop, self._max_buffer_size)
        registration = Registration(loop)
        self._stream = PortEventStream(mailbox, registration)
        try:
            await registration.open(self._backend, mailbox, bool(self._initial))
        except BaseException:
            mailbox.close()  # nobody has had the stream, so it is not left unclosed
            raise
        return self._stream

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._stream is not None
        await self._stream._leave(exc_value)
