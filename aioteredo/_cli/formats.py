"""The lines of ``watch``: one for each event, for people or for programs."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Final, TextIO

from .._events import PortEvent

DIM: Final = "2"
GREEN: Final = "32"
YELLOW: Final = "33"

_ENABLE_VIRTUAL_TERMINAL_PROCESSING: Final = 4  # wincon.h

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TOLERANCE: Final = 50_000_000  # ns; some clocks go by steps of 16 ms


class _Clock:
    """When the system notified, by the clock that people have.

    How far that is from the monotonic one is not asked anew for each event: the two are
    read one after the other, and what passes between would have changed places of events.
    It is kept for as long as it can be right, however long the reading took.
    """

    def __init__(self) -> None:
        self._offset = 0

    def __call__(self, event: PortEvent) -> datetime:
        before, now, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        least, most = now - after - _TOLERANCE, now - before + _TOLERANCE
        if not least <= self._offset <= most:  # it was set, or has drifted
            self._offset = now - after
        return _EPOCH + timedelta(microseconds=(event.monotonic_ns + self._offset) // 1000)


class Json:
    """The fields of an event, and ``time``."""

    def __init__(self) -> None:
        self._time = _Clock()

    def __call__(self, event: PortEvent) -> str:
        """The line for *event*."""
        kind, when = event.notification_type, self._time(event)
        fields = event._asdict() | {"notification_type": getattr(kind, "name", kind)}
        return json.dumps({"time": when.isoformat(timespec="microseconds"), **fields})


class Text:
    """What changed, from one event to the next.

    :param coloured: whether to colour it
    :param arrow: what stands between two ports
    """

    def __init__(self, *, coloured: bool, arrow: str) -> None:
        self._coloured, self._arrow = coloured, arrow
        self._time = _Clock()
        self._port: str | None = None

    def __call__(self, event: PortEvent) -> str:
        """The line for *event*."""
        port = "no port" if event.port is None else str(event.port)
        before, self._port = self._port, port
        when = self._time(event).astimezone()
        line = self._colour(DIM, f"{when:%Y-%m-%d %H:%M:%S}") + "  "
        if before is not None:
            line += f"{before} {self._arrow} "
        line += self._colour(YELLOW if event.port is None else GREEN, port)
        if event.missed:
            line += self._colour(YELLOW, f" ({event.missed} missed)")
        return line

    def _colour(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._coloured else text


def text_for(stream: TextIO) -> Text:
    """Lines for people, as *stream* can show them."""
    return Text(coloured=_shows_colours(stream), arrow=_arrow(stream))


def _arrow(stream: TextIO) -> str:
    try:
        "→".encode(stream.encoding or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return "->"
    return "→"


def _shows_colours(stream: TextIO) -> bool:
    # in Python's order, which has it from no-color.org and force-color.org
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    if os.environ.get("TERM") == "dumb" or not stream.isatty():
        return False
    return sys.platform != "win32" or _understands_escapes(stream)


if sys.platform == "win32":  # pragma: no cover - measured on Linux

    def _understands_escapes(stream: TextIO) -> bool:
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
