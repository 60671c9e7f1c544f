"""The lifetime of one subscription: made once, cancelled once, off the loop.

Three may want to cancel it: the task that leaves the block, a thread after the watch
was dropped or its task destroyed, and the interpreter's exit. All three do the same,
under the registration's lock: if it is in the table, cancel it, then take it out. So it
is cancelled once, and who comes second returns when it is. Threads hold that lock, an
event loop or a finalizer never does.

Cancelled at the interpreter's exit by ``atexit``, because later is too late: with the
cancelling left to ``__del__``, 18 of 20 exits under fire hung, with ``atexit`` none.
A child of ``fork`` empties its copy of the table: the registrations are its parent's.
"""

from __future__ import annotations

import _thread
import atexit
import os
from contextlib import suppress
from threading import Lock, Thread
from typing import Final

from anyio.lowlevel import checkpoint_if_cancelled

from ._backend import BackendLike, Sink, Subscription, resolve
from ._errors import BackendError
from ._threads import run_sync

_live: Final[dict[Registration, Subscription]] = {}


class Registration:
    """A sink's registration with a backend."""

    def __init__(self) -> None:
        self._lock = Lock()  # held while the native call blocks, and then all is done

    async def open(self, backend: BackendLike | None, sink: Sink, initial: bool) -> None:
        """Subscribe *sink*. If this raises, it isn't subscribed, or not for long.

        A checkpoint comes before it begins; closing has none, it must go through.

        :raises BackendError: if the system refuses
        :raises BackendUnavailableError: if the backend cannot work here
        """
        await checkpoint_if_cancelled()

        def subscribe() -> None:
            _live[self] = resolve(backend).subscribe(sink, initial=initial)

        try:
            await run_sync(subscribe, unheard=self._cancel_unheard)
        except BaseException as exc:
            await self.leave(exc)
            raise

    async def leave(self, exc: BaseException | None) -> None:
        """Cancel the subscription because of *exc*, or of nothing.

        :raises BackendError: if the system refuses and *exc* is None; an exception that
            is under way gets a note instead
        """
        if isinstance(exc, GeneratorExit):  # the task is destroyed: it may not await
            self.abandon()
            return
        try:
            await self.aclose()
        except BackendError as error:
            if exc is None:
                raise
            exc.add_note(f"while closing the watch: {error}")

    def cancel(self) -> None:
        """Cancel the subscription, or wait until another thread has. Blocks.

        :raises BackendError: if the system refuses, to the first caller
        """
        with self._lock:
            subscription = _live.get(self)
            if subscription is not None:
                try:
                    subscription.cancel()
                finally:
                    del _live[self]

    async def aclose(self) -> None:
        """Cancel the subscription; when this returns, no push is running any more.

        :raises BackendError: if the system refuses, to the first caller
        """
        if self in _live:
            try:
                await run_sync(self.cancel)
            except BaseException:
                self.abandon()  # if there was no thread to be had, or no loop
                raise

    def abandon(self) -> bool:
        """Have a thread cancel the subscription. From any thread, or a finalizer.

        :return: whether there is a subscription still to be cancelled
        """
        live = self in _live
        if live:
            # A finalizer can run anywhere, also inside threading's own locks and on the
            # notifying thread. So the first thread is a bare one, without bookkeeping,
            # and only it starts the second, which an exiting interpreter waits for.
            with suppress(RuntimeError):  # no more threads: atexit will cancel it
                _thread.start_new_thread(self._cancel_on_a_thread, ())
        return live

    def _cancel_on_a_thread(self) -> None:
        with suppress(RuntimeError):
            Thread(target=self._cancel_unheard, daemon=False).start()

    def _cancel_unheard(self) -> None:
        # Nobody is left to be told, and late callbacks find a closed mailbox.
        with suppress(Exception):
            self.cancel()


@atexit.register
def _cancel_all() -> None:
    for registration in list(_live):
        registration._cancel_unheard()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_live.clear)
