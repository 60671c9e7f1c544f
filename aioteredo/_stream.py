"""The stream that a watch yields, for events of any kind."""

from __future__ import annotations

import warnings
from collections.abc import Coroutine
from typing import Any, ClassVar, NoReturn, SupportsIndex

from anyio.abc import UnreliableObjectReceiveStream

from ._mailbox import EventT, Mailbox
from ._registration import Registration


class EventStream(UnreliableObjectReceiveStream[EventT]):
    """The events of one watch. Each kind of events has a public class of its own."""

    _opened_by: ClassVar[str]
    """The call that opens the watch, for messages."""

    # The stream holds nothing of the event loop: no task group, cancel scope or portal. An
    # async fixture enters a watch in one task and leaves it in another one, and these would
    # refuse to be left there.

    def __init__(self, mailbox: Mailbox[Any, EventT], registration: Registration) -> None:
        self._mailbox = mailbox
        self._registration = registration

    def __repr__(self) -> str:
        mailbox = self._mailbox
        return (
            f"<aioteredo.{type(self).__name__} {mailbox.state}, "
            f"backend={self._registration.backend!r}, "
            f"buffered={mailbox.buffered}, missed={mailbox.missed}>"
        )

    async def receive(self) -> EventT:
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

    def __anext__(self) -> Coroutine[Any, Any, EventT]:
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
        refuse_to_copy(self, self._opened_by)

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
                f"unclosed {unclosed}: leave the block of {self._opened_by} or call "
                "aclose()",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )


def refuse_to_copy(watch: object, opened_by: str) -> NoReturn:
    """Raise the error of a watch, or of its stream, that is copied or pickled.

    :param opened_by: the call that opens another watch
    """
    raise TypeError(
        f"this {type(watch).__name__} cannot be copied or pickled, because it stands for "
        f"one registration; open another watch with {opened_by}"
    )
