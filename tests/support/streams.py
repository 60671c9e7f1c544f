"""A helper for the stream of a watch."""

from __future__ import annotations

from aioteredo import PortEvent, PortEventStream


async def receive(events: PortEventStream, count: int) -> list[PortEvent]:
    """Receive *count* events, and return them in their order."""
    return [await events.receive() for _ in range(count)]
