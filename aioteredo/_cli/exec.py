"""The command ``exec``, which runs CMD on each change of the port or addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import anyio
from anyio.abc import UnreliableObjectReceiveStream

from .._backend import BackendLike
from . import process_group
from .announce import announce
from .executable import NotExecutableError, find_executable
from .formats import Event
from .output import report_error
from .service_manager import ServiceManager
from .subject import PORT, Subject
from .user_command import CommandFailedError, UserCommand

Events: TypeAlias = UnreliableObjectReceiveStream[Event]
OnBusy: TypeAlias = Literal["latest", "queue", "restart"]

QUEUE_SIZE: Final = 1024


async def follow(
    arguments: Sequence[str],
    *,
    subject: Subject = PORT,
    initial: bool,
    backend: BackendLike | None,
    on_busy: OnBusy,
    no_value: str | None,
    fail_fast: bool,
    count: int | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - reaching it is success, not an error
    every: float | None = None,
    verbose: bool = False,
) -> int:
    """Run CMD on each change, until a limit is reached or the task is cancelled.

    :param arguments: CMD and its arguments, with the placeholders of *subject*
    :param subject: the value to follow
    :param no_value: the text for the placeholders if the client has no value, or None to
        run nothing then
    :param fail_fast: whether to return 1 after a run that has failed
    :param count: the number of runs after which to return, or None for no limit. Runs that
        a change has interrupted don't count
    :param timeout: the seconds after which to return, or None for no limit
    :param every: the seconds without a run after which CMD runs again, or None
    :param verbose: whether to report each run, and not only runs that have failed
    :return: the exit status
    """
    try:
        program = find_executable(arguments[0])
    except NotExecutableError as error:
        report_error(str(error))
        return error.status

    manager = ServiceManager()
    children = process_group.Children()
    follower = _Follower(
        UserCommand([program, *arguments[1:]], children),
        manager,
        subject,
        on_busy=on_busy,
        no_value=no_value,
        fail_fast=fail_fast,
        count=count,
        every=every,
        verbose=verbose,
    )

    with children, anyio.move_on_after(timeout):
        async with subject.watch(
            initial=initial,
            # The stream drops the oldest events. With room for one event, the event that is
            # taken after a run is the newest.
            max_buffer_size=QUEUE_SIZE if on_busy == "queue" else 1,
            backend=backend,
        ) as events:
            await announce(subject, backend)
            if not initial:
                # Nothing runs before the first change, which may be days away: the start
                # of a service that waited for it would time out.
                manager.send("READY=1")
            await follower.follow(events)

    return follower.status


class _Follower:
    """The loop of ``exec``: take an event, run CMD, report the run."""

    status: int
    """The exit status of ``exec``, which remains if the timeout cancels the loop."""

    def __init__(
        self,
        command: UserCommand,
        manager: ServiceManager,
        subject: Subject,
        *,
        on_busy: OnBusy,
        no_value: str | None,
        fail_fast: bool,
        count: int | None,
        every: float | None,
        verbose: bool,
    ) -> None:
        self._command = command
        self._manager = manager
        self._subject = subject
        self._on_busy = on_busy
        self._no_value = no_value
        self._fail_fast = fail_fast
        self._count = count
        self._every = every
        self._verbose = verbose
        self._finished_runs = 0
        self.status = 0

    async def follow(self, events: Events) -> None:
        """Run CMD for each event; return when ``--count`` or ``--fail-fast`` says so."""
        self._newest = await self._receive(events)
        while True:
            event = self._newest
            if self._on_busy == "restart":
                await self._run_until_change(event, events)
            else:
                await self._run(event, anyio.CancelScope())

            if self.status or self._finished_runs == self._count:
                return

            await self._wait_for_next_run(event, events)

    async def _wait_for_next_run(self, event: Event, events: Events) -> None:
        """Wait for the next event, or until CMD is to run again for *event*."""
        # A change that has interrupted the run is the next event already.
        if self._newest is event:
            with anyio.move_on_after(self._every):
                self._newest = await self._receive(events)

    async def _receive(self, events: Events) -> Event:
        event = await events.receive()
        # With "latest" and "restart", dropping older events is the purpose.
        if event.missed and self._on_busy == "queue":
            changes = "1 change" if event.missed == 1 else f"{event.missed} changes"
            report_error(f"{changes} dropped: more than {QUEUE_SIZE} waited")
        return event

    async def _run_until_change(self, event: Event, events: Events) -> None:
        """Run CMD for *event*, and cancel the run when the value changes."""
        run = anyio.CancelScope()

        async def cancel_at_change() -> None:
            # Ending CMD can take seconds. Receiving goes on, so the next run has the
            # newest value.
            while True:
                self._newest = await events.receive()
                run.cancel()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(cancel_at_change)
                await self._run(event, run)
                group.cancel_scope.cancel()
        except BaseExceptionGroup as errors:
            # main() reports the error by its class, which the group would hide.
            raise errors.exceptions[0] from None

    async def _run(self, event: Event, scope: anyio.CancelScope) -> None:
        """Run CMD for *event* in *scope*, and report the run."""
        state = self._subject.describe(event[0])
        texts = self._texts(event)
        if texts is None:
            # The start of a service would time out if it waited for a value.
            self._manager.send(f"STATUS={state}", "READY=1")
            return
        if self._on_busy == "restart":
            # CMD may run for as long as the client has this value.
            self._manager.send(f"STATUS={state}", "READY=1")
        else:
            self._manager.send(f"STATUS={state}")

        began = anyio.current_time()
        failed = False
        with scope:
            try:
                await self._command.run(texts)
                outcome = "exit status 0"
            except CommandFailedError as error:
                outcome = str(error)
                failed = True

        if scope.cancelled_caught:
            outcome = "interrupted by a change"
        else:
            self._finished_runs += 1

        if failed or self._verbose:
            seconds = anyio.current_time() - began
            took = f" ({seconds:.3f} s)" if self._verbose else ""
            report_error(f"{state}: {outcome}{took}")

        if failed and self._fail_fast:
            self.status = 1
        else:
            self._manager.send("READY=1", f"STATUS={state}: {outcome}")

    def _texts(self, event: Event) -> dict[str, str] | None:
        """Return the text for each placeholder, or None if CMD is not to be run."""
        names = self._subject.placeholders
        texts = self._subject.substitutes(event[0])
        if texts:
            return dict(zip(names, texts, strict=True))
        return None if self._no_value is None else dict.fromkeys(names, self._no_value)
