"""The watch of the public functions, for events of any kind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, NoReturn, SupportsIndex, TypeVar

from ._backend import Backend, BackendLike, Subscribe
from ._loop import EventLoop, current_loop
from ._mailbox import Mailbox, ValueT
from ._registration import Registration
from ._stream import EventStream, refuse_to_copy

StreamT = TypeVar("StreamT", bound=EventStream[Any])


class Watch(AbstractAsyncContextManager[StreamT, None]):
    """An async context manager that registers on entering, and yields a stream.

    :param stream_class: the class of the stream
    :param new_mailbox: makes the mailbox of the stream, for a task of an event loop
    :param backend: a backend or its name, or None for the default one
    :param select: returns the method of the backend that registers the mailbox
    :param initial: whether the backend pushes the current value first
    """

    # A class, not an ``@asynccontextmanager``. The generator of the latter would be closed
    # when its last reference is dropped, and the stream would end with it.

    def __init__(
        self,
        stream_class: type[StreamT],
        new_mailbox: Callable[[EventLoop], Mailbox[ValueT, Any]],
        backend: BackendLike | None,
        select: Callable[[Backend], Subscribe[ValueT]],
        initial: bool,
    ) -> None:
        self._stream_class = stream_class
        self._new_mailbox = new_mailbox
        self._backend = backend
        self._select = select
        self._initial = initial
        self._stream: StreamT | None = None

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        refuse_to_copy(self, self._stream_class._opened_by)

    async def __aenter__(self) -> StreamT:
        if self._stream is not None:
            raise RuntimeError(
                "This watch has already been entered; call "
                f"{self._stream_class._opened_by} again for another one."
            )

        loop = current_loop()
        mailbox = self._new_mailbox(loop)
        registration = Registration(loop)
        self._stream = self._stream_class(mailbox, registration)

        try:
            await registration.open(self._backend, self._select, mailbox, self._initial)
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
