"""The wait until the consumers of a simulated client have handled their events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .._backend import SinkOf

if TYPE_CHECKING:
    from .._mailbox import Mailbox

# The imports are in the functions. A program that only asks for the port needs no event
# loop, and would otherwise spend its time on importing anyio.


class DrainWaits:
    """The tasks of any event loops that wait until a client's streams are drained."""

    def __init__(self) -> None:
        self._wakes: list[Callable[[], object]] = []

    def follow(self, sink: SinkOf[Any]) -> None:
        """Check the streams again each time that the consumer of *sink* begins to wait."""
        from .._fan_out import FanOut
        from .._mailbox import Mailbox

        if isinstance(sink, FanOut):
            # The client is shared. Its streams come and go without a call of the client.
            sink.on_change = self._on_change

        # A backend that subscribes again after a failure passes the same sink each time.
        elif isinstance(sink, Mailbox) and self.check_again not in sink.on_wait:
            sink.on_wait = (*sink.on_wait, self.check_again)

    def _on_change(self, sink: SinkOf[Any]) -> None:
        self.follow(sink)
        self.check_again()

    def check_again(self) -> None:
        """Make the waiting tasks check the streams again. From any thread."""
        # Copying takes the lock of the list, which adding takes as well. If a task is added
        # after that, its first check sees the change that this call announces.
        for wake in self._wakes.copy():
            # The calling consumer must not fail because another task could not be woken.
            # That task checks the streams again at its time limit.
            with suppress(Exception):
                wake()

    async def wait(
        self,
        sinks: Callable[[], Iterable[SinkOf[Any] | None]],
        timeout: float,  # noqa: ASYNC109 - at the limit, the error names the streams
    ) -> None:
        """Return once all of *sinks* that are streams are drained.

        :raises TimeoutError: if that takes more than *timeout* seconds
        """
        from anyio import move_on_after
        from anyio.lowlevel import checkpoint

        from .._loop import current_loop
        from .._parking import ParkingSpot

        spot = ParkingSpot(current_loop())
        await checkpoint()

        self._wakes.append(spot.wake)
        try:
            with move_on_after(timeout):
                while True:
                    waiter = spot.prepare()
                    if not _undrained(sinks()):
                        return
                    await waiter
        finally:
            self._wakes.remove(spot.wake)

        if undrained := _undrained(sinks()):
            raise TimeoutError(
                f"not drained within {timeout:g} s: {'; '.join(undrained)}. Let a task "
                "receive from each stream until it waits, or leave the stream's block."
            )


def _undrained(sinks: Iterable[SinkOf[Any] | None]) -> list[str]:
    streams = list(_streams(sinks))
    return [
        f"stream {number} of {len(streams)} {_describe(stream)}"
        for number, stream in enumerate(streams, 1)
        if not stream.drained
    ]


def _streams(sinks: Iterable[SinkOf[Any] | None]) -> Iterator[Mailbox[Any, Any]]:
    from .._fan_out import FanOut
    from .._mailbox import Mailbox

    for sink in sinks:
        if isinstance(sink, Mailbox):
            yield sink
        elif isinstance(sink, FanOut):
            yield from _streams(sink.sinks)


def _describe(stream: Mailbox[Any, Any]) -> str:
    count = stream.buffered
    if count == 0:
        return "holds no event, but its consumer does not wait for the next one"
    if count == 1:
        return "holds 1 event"
    return f"holds {count} events"
