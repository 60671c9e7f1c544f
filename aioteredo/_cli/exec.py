"""A command that is run on each change of the port.

The stream keeps a number of events and drops the oldest. With *queue* it keeps many, with
*latest* one, so the event that is taken after a run is the newest. *restart* keeps one,
too, but another task takes events while CMD runs, and cancels the run. None of the three
loses the newest event.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal, TypeAlias

import anyio

from .._backend import BackendLike
from .._events import PortEvent
from .._watch import watch_teredo_port
from . import process_group
from .announce import announce
from .executable import NotExecutableError, find
from .output import report
from .service_manager import ServiceManager
from .signals import Signals

OnBusy: TypeAlias = Literal["latest", "queue", "restart"]

QUEUE_SIZE: Final = 1024


class CommandFailedError(Exception):
    """CMD could not be started, or did not succeed: the text says how."""


class Command:
    """CMD, with ``{port}`` in its arguments, and the port of its run before."""

    def __init__(
        self, arguments: Sequence[str], signals: Signals, children: process_group.Children
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
                    await process_group.end(child, refused)
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
    count: int | None = None,
    seconds: float | None = None,
    every: float | None = None,
    verbose: bool = False,
) -> int:
    """Run a command on each change, until that is cancelled.

    :param no_port: what stands for the port if there is none; None: no run
    :param fail_fast: return 1 once the command has failed
    :param count: return 0 after so many runs, without those that a change has interrupted
    :param seconds: return 0 after so long
    :param every: seconds without a run after which the command runs again
    :param verbose: report each run, and not only one that fails
    """
    status = 0
    finished = 0
    running = anyio.CancelScope()

    def complain(text: str) -> None:
        with signals.interrupting():  # nothing runs that would have to be ended
            report(text)

    async def run(event: PortEvent) -> None:
        nonlocal status, finished, running
        name = "no port" if event.port is None else f"port {event.port}"
        port = no_port if event.port is None else str(event.port)
        # The start of a service would time out if it waited for a port that does not come,
        # or, with restart, for a CMD that runs for as long as it has the port.
        ready = ("READY=1",) if port is None or on_busy == "restart" else ()
        manager.tell(f"STATUS={name}", *ready)
        if port is None:
            return

        failed = False
        began = anyio.current_time()
        with anyio.CancelScope() as running:
            try:
                await command.run(port)
                outcome = "exit status 0"
            except CommandFailedError as error:
                outcome = str(error)
                failed = True
        if running.cancelled_caught:
            outcome = "interrupted by a change"
        else:
            finished += 1

        if failed or verbose:
            took = f" ({anyio.current_time() - began:.3f} s)" if verbose else ""
            complain(f"{name}: {outcome}{took}")

        if failed and fail_fast:
            status = 1
            everything.cancel()
        else:
            manager.tell("READY=1", f"STATUS={name}: {outcome}")
        if finished == count:
            everything.cancel()

    async def next_event() -> PortEvent:
        event = await events.receive()
        if event.missed and on_busy == "queue":
            changes = "1 change" if event.missed == 1 else f"{event.missed} changes"
            complain(f"{changes} dropped: more than {QUEUE_SIZE} waited")
        return event

    async def run_and_receive(event: PortEvent) -> PortEvent:
        """Run for *event*; return it, or the newest event if that has ended the run."""
        newest = event

        async def receive() -> None:
            # This goes on while CMD is being ended, so the next run has the newest port.
            nonlocal newest
            while True:
                newest = await events.receive()
                running.cancel()

        try:
            async with anyio.create_task_group() as group:
                if on_busy == "restart":
                    group.start_soon(receive)
                await run(event)
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return newest

    try:
        children = process_group.Children()
        command = Command([find(arguments[0]), *arguments[1:]], signals, children)
    except NotExecutableError as error:
        complain(str(error))
        return error.status

    manager = ServiceManager()
    with children, anyio.move_on_after(seconds) as everything:
        async with watch_teredo_port(
            initial=initial,
            max_buffer_size=QUEUE_SIZE if on_busy == "queue" else 1,
            backend=backend,
        ) as events:
            await announce(backend)
            if not initial:
                manager.tell("READY=1")  # Nothing runs before the first change.
            event = await next_event()
            while True:
                newest = await run_and_receive(event)
                if newest is event:
                    with anyio.move_on_after(every):
                        newest = await next_event()
                event = newest
    return status
