"""The lines of ``watch``: one line for each event, for people or for programs."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Final, TextIO, TypeAlias

from .._events import AddressEvent, PortEvent
from .subject import PORT, Subject

Event: TypeAlias = PortEvent | AddressEvent

DIM: Final = "2"
GREEN: Final = "32"
YELLOW: Final = "33"

_ENABLE_VIRTUAL_TERMINAL_PROCESSING: Final = 4  # wincon.h

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TOLERANCE: Final = 50_000_000
"""Nanoseconds by which two readings of the clocks may differ: some advance by 16 ms."""


class _Clock:
    """A conversion from the monotonic clock to the time of day.

    The offset between the two clocks is kept while it agrees with them. If it were read
    for each event, the delay between the two readings would vary, and could swap the times
    of events that came close together.
    """

    def __init__(self) -> None:
        self._offset = 0

    def time_of(self, event: Event) -> datetime:
        """Return the time at which the system notified *event*."""
        before = time.monotonic_ns()
        now = time.time_ns()
        after = time.monotonic_ns()

        lowest = now - after - _TOLERANCE
        highest = now - before + _TOLERANCE
        if not lowest <= self._offset <= highest:  # The clock was set, or has drifted.
            self._offset = now - after
        return _EPOCH + timedelta(microseconds=(event.monotonic_ns + self._offset) // 1000)


class JsonFormat:
    """JSON objects with the fields of an event, and ``time``.

    :param subject: the value of the events
    """

    def __init__(self, subject: Subject = PORT) -> None:
        self._subject = subject
        self._clock = _Clock()

    def format(self, event: Event) -> str:
        """Return the line for *event*."""
        fields = {**event._asdict(), **self._subject.fields(event[0])}
        # A number that NotificationType does not know has no name, and stays a number.
        kind = event.notification_type
        fields["notification_type"] = getattr(kind, "name", kind)

        when = self._clock.time_of(event).isoformat(timespec="microseconds")
        return json.dumps({"time": when, **fields})


class TextFormat:
    """Lines for people, each with the local time and the change.

    :param coloured: whether to add ANSI colours
    :param arrow: the text between the values before and after a change
    :param subject: the value of the events
    """

    def __init__(self, *, coloured: bool, arrow: str, subject: Subject) -> None:
        self._subject = subject
        self._coloured = coloured
        self._arrow = arrow
        self._clock = _Clock()
        self._previous: str | None = None

    def format(self, event: Event) -> str:
        """Return the line for *event*, which follows the event of the previous call."""
        when = self._clock.time_of(event).astimezone()
        text = self._subject.text(event[0])
        value = text or f"no {self._subject.noun}"

        line = self._colour(DIM, f"{when:%Y-%m-%d %H:%M:%S}") + "  "
        if self._previous is not None:
            line += f"{self._previous} {self._arrow} "
        line += self._colour(GREEN if text else YELLOW, value)
        if event.missed:
            line += self._colour(YELLOW, f" ({event.missed} missed)")

        self._previous = value
        return line

    def _colour(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._coloured else text


def text_format_for(stream: TextIO, subject: Subject = PORT) -> TextFormat:
    """Return a format with the colours and the arrow that *stream* can show."""
    return TextFormat(
        coloured=_shows_colours(stream), arrow=_arrow(stream), subject=subject
    )


def _arrow(stream: TextIO) -> str:
    try:
        "→".encode(stream.encoding or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return "->"
    return "→"


def _shows_colours(stream: TextIO) -> bool:
    # The order of the checks is Python's own, and that of no-color.org and force-color.org.
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    if os.environ.get("TERM") == "dumb" or not stream.isatty():
        return False
    return sys.platform != "win32" or _enable_escapes(stream)


if sys.platform == "win32":  # pragma: no cover - measured on Linux

    def _enable_escapes(stream: TextIO) -> bool:
        """Have the console interpret ANSI escapes; return whether the console can."""
        import ctypes
        import msvcrt

        kernel32 = ctypes.WinDLL("kernel32")
        handle = ctypes.c_void_p(msvcrt.get_osfhandle(stream.fileno()))
        mode = ctypes.c_uint32()
        return bool(
            kernel32.GetConsoleMode(handle, ctypes.byref(mode))
            and kernel32.SetConsoleMode(
                handle, mode.value | _ENABLE_VIRTUAL_TERMINAL_PROCESSING
            )
        )
