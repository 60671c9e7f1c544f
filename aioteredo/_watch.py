"""The public functions ``watch_teredo_port`` and ``get_teredo_port``, and the stream."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, NoReturn, SupportsIndex

from anyio.abc import UnreliableObjectReceiveStream
from anyio.lowlevel import checkpoint

from ._backend import Backend, BackendLike, Subscribe
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

    The result is an async context manager. Its block receives the events::

        async with watch_teredo_port(initial=True) as events:
            async for event in events:
                print(event.port)

    Entering the block registers with the system, so no later change is missed. After the
    block has been left, no callback runs any more.

    Entering and leaving call native functions, on a thread of their own: other tasks go
    on, and a cancellation takes effect when the native function has returned. One task may
    enter the block and another task of the same event loop leave it.

    :param initial: True to begin with an event of type :attr:`NotificationType.INITIAL`,
        which carries the current port. The buffer holds this event before the block begins,
        and may drop it like any other
    :param max_buffer_size: the number of events that are kept for a slow consumer, from 1
        to :data:`sys.maxsize`. A full buffer drops its oldest event, and the ``missed`` of
        the next event counts it. With 1, the stream holds the latest event only
    :param backend: a backend or its name. The default is the one of :func:`use_backend`,
        of the environment variable ``AIOTEREDO_BACKEND``, or of the platform, in this order
    :raises ValueError: if *max_buffer_size* is out of its range
    :raises TypeError: if *max_buffer_size* is not an integer, or *backend* is neither a
        name nor a backend
    :raises BackendUnavailableError: on entering, if the backend cannot work here
    :raises BackendError: on entering, if the system refuses the registration or the
        initial port cannot be read. On leaving, if the system refuses to cancel; if another
        exception leaves the block, that one is raised, with a note about the refusal
    :raises RuntimeError: on entering a second time, or outside of asyncio and trio
    """
    max_buffer_size = check_integer("max_buffer_size", max_buffer_size, 1, sys.maxsize)
    if backend is not None:
        check_backend(backend)
    return _Watch(initial, max_buffer_size, backend)


@public
async def get_teredo_port(*, backend: BackendLike | None = None) -> int | None:
    """Return the UDP service port of this machine's Teredo client.

    The backend is called on a thread of its own, so other tasks go on. A cancellation takes
    effect when the call has returned.

    :param backend: as in :func:`watch_teredo_port`
    :return: the port, 1 to 65535, or None if the Teredo client has no port
    :raises TypeError: if *backend* is neither a name nor a backend
    :raises BackendUnavailableError: if the backend cannot work here
    :raises BackendError: if the port cannot be read
    :raises RuntimeError: outside of asyncio and trio
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


def _subscribe_to_ports(backend: Backend) -> Subscribe[int | None]:
    return backend.subscribe


@public
class PortEventStream(UnreliableObjectReceiveStream[PortEvent]):
    """The events of one watch, in the system's order, for one task at a time.

    :func:`watch_teredo_port` makes it, and its methods are called in the event loop that
    entered the watch. Iterating yields events until the watch is closed or fails, and then
    raises, as :meth:`receive` does.

    The stream is *unreliable* in anyio's sense: a slow consumer loses the oldest events,
    and :attr:`PortEvent.missed` is their number. The newest event is never lost, even if a
    task is cancelled while it waits.
    """

    # The stream holds nothing of the event loop: no task group, cancel scope or portal. An
    # async fixture enters a watch in one task and leaves it in another one, and these would
    # refuse to be left there.

    def __init__(
        self, mailbox: Mailbox[int | None, PortEvent], registration: Registration
    ) -> None:
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
        """Receive the oldest event, and wait for it if there is none.

        On asyncio, a task that receives buffered events lets other tasks run after each
        128 events; on trio, at each event.

        A cancellation loses no event. In a scope that is already cancelled, this raises
        the cancellation and leaves the events in the buffer.

        :raises ~anyio.ClosedResourceError: if the watch has been closed, even while this
            task waits
        :raises ~anyio.BusyResourceError: if another task waits for an event of this watch;
            open a watch for each task
        :raises BackendFailedError: if the backend failed after it had registered the watch.
            The events before the failure are received first
        """
        return await self._mailbox.receive()

    def __anext__(self) -> Coroutine[Any, Any, PortEvent]:
        # The method of anyio turns EndOfStream into StopAsyncIteration. This stream has no
        # end, so the coroutine of the mailbox is returned as it is, which saves a frame for
        # each event. The coroutine does not hold the stream; an ``async for`` loop does.
        return self._mailbox.receive()

    async def aclose(self) -> None:
        """Close the watch. After this returns, no callback runs any more.

        A task that waits for an event gets :exc:`~anyio.ClosedResourceError`. A second call
        waits for the first one, and is harmless.

        :raises BackendError: if the system refuses to cancel. The stream is closed all the
            same, and ignores further callbacks
        """
        await self._leave(None)

    async def _leave(self, exc: BaseException | None) -> None:
        try:
            self._mailbox.close()
            await self._registration.close(exc)
        except BaseException:
            # Ctrl-C between the two steps would leave a closed stream whose registration
            # is never cancelled.
            self._registration.abandon()
            raise

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        _refuse_to_copy(self)

    def __del__(self) -> None:
        # __del__ also runs for an object whose __init__ was never called.
        registration: Registration | None = getattr(self, "_registration", None)
        if registration is None:
            return

        # The registration of an orphan is cancelled, but its user has not closed the
        # stream.
        is_unclosed_orphan = registration.orphaned and not self._mailbox.closed
        if registration.abandon() or is_unclosed_orphan:
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
    # A class, not an ``@asynccontextmanager``. The generator of the latter would be closed
    # when its last reference is dropped, and the stream would end with it.

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
        mailbox = Mailbox[int | None, PortEvent](loop, self._max_buffer_size, PortEvent)
        registration = Registration(loop)
        self._stream = PortEventStream(mailbox, registration)

        try:
            await registration.open(
                self._backend, _subscribe_to_ports, mailbox, bool(self._initial)
            )
        except BaseException:
            # The user has never had the stream, so its finalizer must not warn that it is
            # unclosed.
            mailbox.close()
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
