"""What can be said on the command line, and what the help pages say of it.

A help page fits a screen of 80 columns by 24 lines, and ends with an example. The width
is fixed: argparse imports shutil to ask for the terminal's, 4 ms of each start.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from ._backend import default_name
from ._output import say

_Formatter: Final = partial(
    argparse.RawDescriptionHelpFormatter, width=79, max_help_position=22
)

_MAIN: Final = """\
exit status: 0; 1 if a backend is unavailable or fails; 2 for wrong usage; 3
from "port" if there is none; 126 or 127 if "exec" cannot run CMD

example: aioteredo watch --initial
"""

_WATCH: Final = """\
A line says when, and what changed. With --json it is an object: time (RFC
3339), port (or null), notification_type (a name, or a number that this version
does not know), missed (events dropped just before this one), monotonic_ns.

example: aioteredo watch --initial --json | jq --unbuffered .port
"""

_PORT: Final = """\
If there is no port, nothing is printed, and the exit status is 3.

example: aioteredo port --backend miredo
"""

_EXEC: Final = """\
No shell, and an empty stdin. {port} in arguments becomes the port; TEREDO_PORT
has it, and TEREDO_PREVIOUS_PORT that of the run before. A signal, such as
Ctrl-C, ends CMD with its process group: SIGTERM, and SIGKILL 5 s later.

example: aioteredo exec --initial -- upnpc -r "{port}" udp
"""

_BACKENDS: Final = """\
With --json, a line is an object: name, default (it is used without --backend),
available, port (of its client, or null), reason (why it is not available, or
null).

example: aioteredo backends
"""


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the arguments, or say what is wrong with them and exit with 2."""
    parser = _Parser(
        prog="aioteredo",
        description="Follow the UDP port of a Teredo client.",
        epilog=_MAIN,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND"
    )

    def add(name: str, summary: str, epilog: str, **options: Any) -> Any:
        return commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=epilog,
            formatter_class=_Formatter,
            allow_abbrev=False,
            **options,
        )

    watch = add("watch", "print each change of the port", _WATCH)
    _add_initial(watch)
    _add_backend(watch)
    watch.add_argument(
        "--max-buffer-size",
        type=_positive,
        default=16,
        metavar="N",
        help="events kept if the output is slow; default: 16",
    )
    _add_json(watch)
    watch.add_argument("--count", type=_positive, metavar="N", help="end after N events")
    watch.add_argument("--timeout", type=_seconds, metavar="S", help="end after S seconds")
    _add_miredo(watch)

    port = add("port", "print the port as it is now", _PORT)
    _add_backend(port)
    _add_json(port)
    _add_miredo(port)

    execute = add(
        "exec",
        "run a command on each change of the port",
        _EXEC,
        usage="aioteredo exec [options] -- CMD [ARG ...]",
    )
    _add_initial(execute)
    _add_backend(execute)
    execute.add_argument(
        "--on-busy",
        choices=("latest", "queue", "restart"),
        default="latest",
        metavar="HOW",
        help="changes while CMD runs: run for the latest (default) or for\n"
        "each (queue, at most 1024) when it has ended, or restart it",
    )
    execute.add_argument(
        "--no-port",
        metavar="TEXT",
        help="what {port} is while there is none; default: no run",
    )
    execute.add_argument(
        "--fail-fast", action="store_true", help="exit with 1 once CMD has failed"
    )
    _add_miredo(execute)
    execute.add_argument(
        *("-n", "--count"),
        type=_positive,
        metavar="N",
        help="end after N runs, without those that restart has ended",
    )
    execute.add_argument(
        *("-t", "--timeout"), type=_seconds, metavar="S", help="end after S seconds"
    )
    execute.add_argument(
        "--every",
        type=_seconds,
        metavar="SECONDS",
        help="run again after so many seconds without a run",
    )
    execute.add_argument(
        *("-v", "--verbose"), action="store_true", help="report each run on stderr"
    )
    execute.add_argument("argv", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)

    _add_json(add("backends", "list the backends, and which can be used here", _BACKENDS))

    arguments = parser.parse_args(argv)
    if arguments.command == "exec":
        if arguments.argv[:1] == ["--"]:
            del arguments.argv[0]
        if not arguments.argv:
            execute.error("CMD is missing: give it after --")
    if arguments.command != "backends":
        _make_miredo(commands.choices[arguments.command], arguments)
    return arguments


class _Parser(argparse.ArgumentParser):
    def print_help(self, file: Any = None) -> None:  # noqa: ARG002 - it is given none
        """Print it like everything else: argparse minds no reader that has gone."""
        say(self.format_help().rstrip("\n"))


def _add_initial(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--initial", action="store_true", help="begin with the port as it is now"
    )


def _add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend", metavar="B", help='one that "aioteredo backends" lists'
    )


def _add_miredo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--miredo-uid", metavar="USER", help="Miredo's user, a name or a number"
    )
    parser.add_argument(
        "--miredo-cgroup", metavar="PATH", help="Miredo's unit below /sys/fs/cgroup"
    )


def _make_miredo(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Put the backend that the two options describe in the place of its name.

    :raises BackendUnavailableError: if this isn't Linux
    """
    user = arguments.miredo_uid
    cgroup = arguments.miredo_cgroup
    if user is None and cgroup is None:
        return
    if (arguments.backend or default_name()) != "miredo":
        parser.error("--miredo-uid and --miredo-cgroup need --backend miredo")

    from .backends.miredo import MiredoBackend, find_uid

    option = "--miredo-uid"
    try:
        uid = None if user is None else find_uid(user)
        option = "--miredo-cgroup"
        arguments.backend = MiredoBackend(uid, cgroup)
    except ValueError as error:
        parser.error(f"argument {option}: {error}")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, an object a line")


def _positive(text: str) -> int:
    number = int(text)
    if not 1 <= number <= sys.maxsize:
        raise ValueError
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:  # nor is it "nan"
        raise ValueError
    return seconds


# argparse names the type in its message
_positive.__name__ = "number of 1 or more"
_seconds.__name__ = "number of seconds, more than 0"
