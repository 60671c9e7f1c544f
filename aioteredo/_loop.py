"""An adapter for the event loop: the few functions in which asyncio and trio differ.

They post a call from any thread, and suspend a task until such a call resumes it.
:mod:`._parking` combines the two. :mod:`._trio_loop` has the functions for trio.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from anyio.lowlevel import current_token

if TYPE_CHECKING:
    import asyncio


@dataclass(frozen=True, eq=False, slots=True)
class EventLoop:
    """The functions of one event loop.

    A *waiter* stands for one sleep of one task. The task sleeps by awaiting it.
    """

    native: Hashable
    """The asyncio event loop, or trio's token: one object for each loop."""

    is_closed: Callable[[], bool]
    """Return whether the loop is closed and runs no task any more. From any thread."""

    post: Callable[..., object]
    """Have the loop call a function with arguments soon. From any thread.

    Raises a RuntimeError if the loop is closed.
    """

    create_waiter: Callable[[], Awaitable[None]]
    """Return a waiter for the calling task. In the loop's thread."""

    checkpoint: Callable[[], Awaitable[None]]
    """Raise a cancellation of the calling task's scope. In the loop's thread.

    On trio it also lets other tasks run, as each async function of trio does.
    """

    resume: Callable[[Any], None]
    """End the sleep of a waiter, if it has not ended yet. In the loop's thread."""


def current_loop() -> EventLoop:
    """Return an adapter for the event loop that runs the calling task.

    :raises RuntimeError: outside a running asyncio or trio event loop (from anyio 4.12
        on, its subclass ``anyio.NoEventLoopError``)
    """
    token = current_token()
    native = cast("Any", token.native_token)
    if hasattr(native, "run_sync_soon"):
        # Not imported at the top: a program that runs asyncio need not have trio.
        from ._trio_loop import trio_loop

        return trio_loop(native)

    # anyio.lowlevel.checkpoint_if_cancelled() would look up this function at each call.
    return asyncio_loop(native, token.backend_class.checkpoint_if_cancelled)


def asyncio_loop(
    loop: asyncio.AbstractEventLoop, checkpoint: Callable[[], Awaitable[None]]
) -> EventLoop:
    """Return the adapter for asyncio, and for loops with its interface: uvloop, winloop."""
    return EventLoop(
        native=loop,
        checkpoint=checkpoint,
        is_closed=loop.is_closed,
        post=loop.call_soon_threadsafe,
        create_waiter=loop.create_future,
        resume=_resume,
    )


def _resume(future: asyncio.Future[None]) -> None:
    if not future.done():  # the task may have been cancelled since the call was posted
        future.set_result(None)
