"""What differs between asyncio and trio, and nothing else.

Two things are needed of an event loop: to post a call to it from any thread, and to
suspend one task until such a call resumes it. Each adapter below is those two in the
loop's own primitives. anyio has both, but not for here: its ``from_thread`` waits for
the call to have run (a notifying thread that waits for a loop that waits for
CancelMibChangeNotify2 is a deadlock), and its Event costs a new object per wait.

What posts is made once, with all that it needs in its closure. The notifying thread runs
on another processor than the loop, and each object of the loop's that it touches has to
come over: by a method of the adapter and a ``loop.unpark`` bound anew, a wake-up arrived
1.8 µs later (CPython 3.11, asyncio, a native thread).

It asks no loop whether it is closed: the loop could close right after the answer. It
calls, and an error counts as "the loop is gone" only if the loop is closed indeed. An
error swallowed for any other reason would be a wake-up lost. (Wine 8 loses wake-ups of
asyncio itself, when two threads write to its self-pipe at once: 3 of 10,028 with a pause
in ``send``. It is not known of Windows; see ``.ci/wine_sitecustomize.py``.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, cast

from anyio.lowlevel import current_token

if TYPE_CHECKING:
    import asyncio

    import trio


class EventLoop(Protocol):
    """A running event loop, with room for one suspended task."""

    def threadsafe(self, callback: Callable[[], object]) -> Callable[[], bool]:
        """Make a function that has *callback* called in the loop soon.

        It may be called from any thread and never blocks. It returns False if the loop
        is closed, and nothing will be called.
        """
        ...

    def park(self) -> Awaitable[None]:
        """Suspend the task that awaits this at once, until :meth:`unpark`.

        May return without reason. One task at a time, the caller sees to that.
        """
        ...

    def unpark(self) -> None:
        """Resume the suspended task, if there is one. In the loop's thread only."""


def current_loop() -> EventLoop:
    """The event loop that runs the calling task, as an adapter of its own.

    :raises RuntimeError: outside a running asyncio or trio event loop (from anyio 4.12
        on, its subclass ``anyio.NoEventLoopError``)
    """
    token = cast("Any", current_token().native_token)
    return TrioLoop(token) if hasattr(token, "run_sync_soon") else AsyncioLoop(token)


class AsyncioLoop:
    """asyncio, and what keeps to its interface: uvloop, winloop."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None

    def threadsafe(self, callback: Callable[[], object]) -> Callable[[], bool]:
        call_soon_threadsafe = self._loop.call_soon_threadsafe

        def post() -> bool:
            try:
                call_soon_threadsafe(callback)
            except RuntimeError:
                if not self._loop.is_closed():
                    raise
                self._future = None  # never to be resumed, the task may be collected
                return False
            return True

        return post

    def park(self) -> Awaitable[None]:
        self._future = future = self._loop.create_future()
        return future

    def unpark(self) -> None:
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)


class TrioLoop:
    """trio, by its token."""

    __slots__ = ("_task", "_token", "_trio")

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        import trio  # it is there, for its loop runs; an asyncio program may lack it

        self._trio = trio
        self._token = token
        self._task: trio.lowlevel.Task | None = None

    def threadsafe(self, callback: Callable[[], object]) -> Callable[[], bool]:
        run_sync_soon, finished = self._token.run_sync_soon, self._trio.RunFinishedError

        def post() -> bool:
            try:
                run_sync_soon(callback)
            except finished:
                return False
            return True

        return post

    def park(self) -> Awaitable[None]:
        self._task = self._trio.lowlevel.current_task()
        return self._trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return self._trio.lowlevel.Abort.SUCCEEDED

    def unpark(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._trio.lowlevel.reschedule(task)
