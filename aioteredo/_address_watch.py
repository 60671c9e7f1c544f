"""The public functions for Teredo addresses, and the stream."""

from __future__ import annotations

import sys
from contextlib import AbstractAsyncContextManager

from anyio.lowlevel import checkpoint

from ._address_backend import address_backend, read_addresses
from ._address_mailbox import Addresses, AddressMailbox
from ._addresses import TeredoAddress
from ._backend import Backend, BackendLike, SinkOf, Subscribe, Subscription
from ._checks import check_integer, check_subscription
from ._events import AddressEvent
from ._loop import EventLoop
from ._public import public
from ._selection import check_backend, resolve
from ._stream import EventStream
from ._threads import run_sync
from ._watch import Watch


@public
def watch_teredo_addresses(
    *,
    initial: bool = False,
    max_buffer_size: int = 16,
    backend: BackendLike | None = None,
) -> AbstractAsyncContextManager[AddressEventStream, None]:
    """Watch the Teredo addresses of this machine.

    The result is an async context manager. Its block receives the events, and each carries
    all usable addresses after a change::

        async with watch_teredo_addresses(initial=True) as events:
            async for event in events:
                print(*event.addresses)

    A notification of the system is not an event if the addresses have not changed. In all
    other respects, this is a watch like the one of :func:`watch_teredo_port`, with the same
    promises.

    :param initial: True to begin with an event of type :attr:`NotificationType.INITIAL`,
        which carries the current addresses. The buffer holds this event before the block
        begins, and may drop it like any other
    :param max_buffer_size: as in :func:`watch_teredo_port`
    :param backend: as in :func:`watch_teredo_port`
    :raises ValueError: if *max_buffer_size* is out of its range
    :raises TypeError: if *max_buffer_size* is not an integer, or *backend* is neither a
        name nor a backend
    :raises BackendUnavailableError: on entering, if the backend cannot work here, or does
        not report addresses
    :raises BackendError: on entering, if the system refuses the registration or the
        addresses cannot be read, even without *initial*. On leaving, if the system refuses
        to cancel; if another exception leaves the block, that one is raised, with a note
        about the refusal
    :raises RuntimeError: on entering a second time, or outside of asyncio and trio
    """
    max_buffer_size = check_integer("max_buffer_size", max_buffer_size, 1, sys.maxsize)
    if backend is not None:
        check_backend(backend)
    wants_initial = bool(initial)

    def new_mailbox(loop: EventLoop) -> AddressMailbox:
        return AddressMailbox(loop, max_buffer_size, wants_initial)

    # The backend always pushes the initial addresses, because the mailbox compares the
    # first change with them.
    return Watch(
        AddressEventStream, new_mailbox, backend, _subscribe_to_addresses, initial=True
    )


@public
async def get_teredo_addresses(
    *, wait_until_stable: bool = False, backend: BackendLike | None = None
) -> tuple[TeredoAddress, ...]:
    """Return the usable Teredo addresses of this machine, sorted.

    A machine can have several at the same time. The backend is called on a thread of its
    own, so other tasks go on.

    :param wait_until_stable: False to return the addresses that are usable now; a
        cancellation takes effect when the call of the backend has returned. True to wait
        until duplicate address detection has ended, and until a Teredo client that was
        dormant has woken up and has found its server. While the server does not answer,
        the wait does not end. A cancellation ends the wait at once, and leaves nothing
        registered
    :param backend: as in :func:`watch_teredo_port`
    :return: the addresses; empty if there is none
    :raises TypeError: if *backend* is neither a name nor a backend, or does not report a
        tuple of TeredoAddress
    :raises BackendUnavailableError: if the backend cannot work here, or does not report
        addresses
    :raises BackendError: if the addresses cannot be read, or the system refuses to wait
    :raises RuntimeError: outside of asyncio and trio
    """
    if backend is not None:
        check_backend(backend)

    if wait_until_stable:
        async with _watch_stable_addresses(backend) as events:
            event = await events.receive()
        return event.addresses

    await checkpoint()
    return await run_sync(lambda: read_addresses(resolve(backend)))


def _watch_stable_addresses(backend: BackendLike | None) -> Watch[AddressEventStream]:
    def new_mailbox(loop: EventLoop) -> AddressMailbox:
        return AddressMailbox(loop, max_buffer_size=1, initial=True)

    return Watch(
        AddressEventStream, new_mailbox, backend, _subscribe_to_stable_addresses, True
    )


def _subscribe_to_addresses(backend: Backend) -> Subscribe[Addresses]:
    return address_backend(backend).subscribe_addresses


def _subscribe_to_stable_addresses(backend: Backend) -> Subscribe[Addresses]:
    method = address_backend(backend).subscribe_stable_addresses

    # ``initial`` has no meaning here: the stable addresses are pushed once.
    def subscribe(sink: SinkOf[Addresses], *, initial: bool) -> Subscription:  # noqa: ARG001
        subscription = method(sink)
        # Checked here, because the text of the error names the method that is checked.
        check_subscription(subscription, method)
        return subscription

    return subscribe


@public
class AddressEventStream(EventStream[AddressEvent]):
    """The events of one watch, in the system's order, for one task at a time.

    :func:`watch_teredo_addresses` makes it, and its methods are called in the event loop
    that entered the watch. Iterating yields events until the watch is closed or fails, and
    then raises, as :meth:`receive` does.

    The stream is *unreliable* in anyio's sense: a slow consumer loses the oldest events,
    and :attr:`AddressEvent.missed` is their number. The newest event is never lost, even if
    a task is cancelled while it waits.
    """

    _opened_by = "watch_teredo_addresses()"
