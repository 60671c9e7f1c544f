"""Helpers for the stream of a watch."""

from __future__ import annotations

from aioteredo import PortEvent, PortEventStream


async def receive(events: PortEventStream, count: int) -> list[PortEvent]:
    """Receive this number of events."""
    return [await events.receive() for _ in range(count)]
