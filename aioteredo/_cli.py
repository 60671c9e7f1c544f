"""The command line.

argparse, because two commands need no more, and it is there. Output is flushed line by
line: who reads it through a pipe follows a port that changes a few times a day.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import anyio

from ._errors import TeredoError
from ._events import PortEvent
from ._watch import get_teredo_port, watch_teredo_port

# what writing to a pipe says whose reader has gone; Windows has no EPIPE
_READER_GONE = (errno.EPIPE, errno.EINVAL)[: 2 if sys.platform == "win32" else 1]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    :return: 0; 1 if the backend is unavailable or fails; 3 from ``port`` if there is
        none; 130 after Ctrl-C. Wrong usage exits with 2
    """
    arguments = _parser().parse_args(argv)
    try:
        return anyio.run(_COMMANDS[arguments.command], arguments)
    except KeyboardInterrupt:
        return 130
    except TeredoError as error:
        print(f"aioteredo: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in _READER_GONE:
            raise
        # without this, the exit's own flush would say so again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aioteredo", description="Follow the UDP port of a Teredo client."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    watch = commands.add_parser("watch", help="print each change of the port")
    port = commands.add_parser("port", help="print the port; exit 3 if there is none")
    for command in (watch, port):
        command.add_argument(
            "--backend", help="iphlpapi, simulated, miredo or one of another package's"
        )
    watch.add_argument(
        "--initial", action="store_true", help="begin with the port as it is now"
    )
    watch.add_argument(
        "--max-buffer-size", type=_positive, default=16, metavar="N", help="default: 16"
    )
    watch.add_argument("--json", action="store_true", help="one JSON object per line")
    watch.add_argument("--count", type=_positive, metavar="N", help="end after N events")
    watch.add_argument("--timeout", type=_seconds, metavar="S", help="end after S seconds")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= threading.TIMEOUT_MAX:  # nor is it "nan"
        raise ValueError
    return seconds


# argparse names the type in its message
_positive.__name__ = "number of 1 or more"
_seconds.__name__ = "number of seconds"


async def _watch(arguments: argparse.Namespace) -> int:
    with anyio.move_on_after(arguments.timeout):
        async with watch_teredo_port(
            initial=arguments.initial,
            max_buffer_size=arguments.max_buffer_size,
            backend=arguments.backend,
        ) as events:
            left = arguments.count
            async for event in events:
                print(_as_json(event) if arguments.json else _as_text(event), flush=True)
                if left is not None:
                    left -= 1
                    if left == 0:
                        break
    return 0


async def _port(arguments: argparse.Namespace) -> int:
    port = await get_teredo_port(backend=arguments.backend)
    if port is None:
        return 3
    print(port)
    return 0


_COMMANDS = {"watch": _watch, "port": _port}


def _as_json(event: PortEvent) -> str:
    time = datetime.now(UTC).isoformat(timespec="microseconds")
    kind = event.notification_type
    return json.dumps(
        {
            "time": time,
            **event._asdict(),
            "notification_type": getattr(kind, "name", kind),
        }
    )


def _as_text(event: PortEvent) -> str:
    time = datetime.now().astimezone().isoformat(" ", timespec="milliseconds")
    return f"{time}  {'no port' if event.port is None else event.port}"
