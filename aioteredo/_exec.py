"""A command that is run on each change of the port.

The three answers to a change that comes while CMD runs are two loops and a buffer. The
stream keeps a number of events and drops the oldest, so *queue* is "take one, run it"
over a long buffer, and *drop* the same over a buffer of one event: what is taken when
CMD has ended is the newest there is. *restart* is that buffer too, and CMD is cancelled
when the stream has something. In none of them can the newest be lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Literal, TypeAlias

import anyio

from . import _process_group
from ._announce import announce
from ._backend import BackendLike
from ._children import Children
from ._events import PortEvent
from ._output import report
from ._signals import Signals
from ._watch import PortEventStream, watch_teredo_port

OnBusy: TypeAlias = Literal["queue", "restart", "drop"]
Run: TypeAlias = Callable[[PortEvent], Awaitable[None]]

QUEUE_SIZE: Final = 1024


class CommandFailedError(Exception):
    """CMD could not be started, or did not succeed: the text says how."""


class Command:
    """CMD, with ``{port}`` in its arguments, and the port of its run before."""

    def __init__(
        self, arguments: Sequence[str], signals: Signals, children: Children
    ) -> None:
        self._arguments, self._signals = arguments, signals
        self._children = children
        self._previous = ""

    async def run(self, port: str) -> None:
        """Run once, to the end; if cancelled, end what runs.

        :raises CommandFailedError: if it cannot be started, or fails
        """
        arguments = [argument.replace("{port}", port) for argument in self._arguments]
        environment = {"TEREDO_PORT": port, "TEREDO_PREVIOUS_PORT": self._previous}
        name = arguments[0]
        try:
            child = await self._children.start(arguments, {**os.environ, **environment})
        except OSError as error:
            raise CommandFailedError(
                f"cannot run {name!r}: {error.strerror or error}"
            ) from None
        self._previous = port

        def refused(pid: int, reason: str) -> None:
            self._complain(f"cannot end {name!r} (pid {pid}): {reason}; waiting for it")

        try:
            status = await child.wait()
        except BaseException:
            # CMD that has ended by itself may have left processes running on purpose.
            if not child.has_ended():
                with anyio.CancelScope(shield=True):
                    await _process_group.end(child, refused)
            raise
        if status:
            raise CommandFailedError(f"{name!r} {_describe(status)}")

    def _complain(self, text: str) -> None:
        # A signal may be why CMD is to end, so only one more interrupts this; not the end.
        with suppress(KeyboardInterrupt), self._signals.interrupting(again=True):
            report(text)


def _describe(status: int) -> str:
    if status > 0:
        return f"failed: exit status {status}"
    try:
        return f"failed: killed by {signal.Signals(-status).name}"
    except ValueError:  # of the realtime signals only two have names
        return f"failed: killed by signal {-status}"


async def follow(
    arguments: Sequence[str],
    signals: Signals,
    *,
    initial: bool,
    backend: BackendLike | None,
    on_busy: OnBusy,
    no_port: str | None,
    fail_fast: bool,
) -> int:
    """Run a command on each change, until that is cancelled.

    :param no_port: what stands for the port if there is none; None: no run
    :param fail_fast: return 1 once the command has failed
    """
    children = Children()
    command = Command(arguments, signals, children)

    def complain(text: str) -> None:
        with signals.interrupting():  # nothing runs that would have to be ended
            report(text)

    async def run(event: PortEvent) -> None:
        if event.missed and on_busy == "queue":
            changes = "1 change" if event.missed == 1 else f"{event.missed} changes"
            complain(f"{changes} dropped: more than {QUEUE_SIZE} waited")
        port = no_port if event.port is None else str(event.port)
        if port is None:
            return
        try:
            await command.run(port)
        except CommandFailedError as error:
            complain(str(error))
            if fail_fast:
                raise

    loop = _restart if on_busy == "restart" else _one_after_the_other
    with suppress(CommandFailedError), children:
        async with watch_teredo_port(
            initial=initial,
            max_buffer_size=QUEUE_SIZE if on_busy == "queue" else 1,
            backend=backend,
        ) as events:
            await announce(backend)
            await loop(events, run)
    return 1


async def _one_after_the_other(events: PortEventStream, run: Run) -> None:
    while True:
        await run(await events.receive())


async def _restart(events: PortEventStream, run: Run) -> None:
    event = await events.receive()
    changed = anyio.Event()
    scope = anyio.CancelScope()

    async def receive() -> None:
        # This goes on while CMD is being ended, so the next run has the newest port.
        nonlocal event
        while True:
            event = await events.receive()
            changed.set()
            scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            while True:
                changed = anyio.Event()
                with anyio.CancelScope() as scope:
                    await run(event)
                await changed.wait()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
