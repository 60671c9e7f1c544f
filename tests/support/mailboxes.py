"""Mailboxes for the tests that need no watch."""

from __future__ import annotations

from typing import TypeAlias

from aioteredo import PortEvent
from aioteredo._loop import EventLoop
from aioteredo._mailbox import Mailbox

PortMailbox: TypeAlias = Mailbox[int | None, PortEvent]


def port_mailbox(loop: EventLoop, max_buffer_size: int) -> PortMailbox:
    """Return a mailbox such as ``watch_teredo_port()`` makes."""
    return Mailbox(loop, max_buffer_size, PortEvent)
