"""The public functions ``watch_teredo_port`` and ``get_teredo_port``, and the stream."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager

from anyio.lowlevel import checkpoint

from ._backend import Backend, BackendLike, Subscribe
from ._checks import check_integer
from ._events import PortEvent
from ._loop import EventLoop
from ._mailbox import Mailbox
from ._public import public
from ._selection import check_backend, resolve
from ._stream import EventStream
from ._threads import run_sync
from ._watch import Watch


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
    on, and a cancellation takes effect when the native function has returned. All watches
    of a backend that is given by its name, or is the default of the platform, share one
    registration: see :func:`share`. One task may enter the block and another task of the
    same event loop leave it.

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

    def new_mailbox(loop: EventLoop) -> Mailbox[int | None, PortEvent]:
        return Mailbox(loop, max_buffer_size, PortEvent)

    return Watch(PortEventStream, new_mailbox, backend, _subscribe_to_ports, bool(initial))


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


def _subscribe_to_ports(backend: Backend) -> Subscribe[int | None]:
    return backend.subscribe


@public
class PortEventStream(EventStream[PortEvent]):
    """The events of one watch, in the system's order, for one task at a time.

    :func:`watch_teredo_port` makes it, and its methods are called in the event loop that
    entered the watch. Iterating yields events until the watch is closed or fails, and then
    raises, as :meth:`receive` does.

    The stream is *unreliable* in anyio's sense: a slow consumer loses the oldest events,
    and :attr:`PortEvent.missed` is their number. The newest event is never lost, even if a
    task is cancelled while it waits.
    """

    _opened_by = "watch_teredo_port()"
