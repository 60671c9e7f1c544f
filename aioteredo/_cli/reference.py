"""The commands, with their options, exit statuses, environment variables and notes.

The parser, the help pages and the test of README's tables use the same objects, so they
cannot contradict each other.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .options import Option, parse_positive_integer, parse_seconds


class Command(NamedTuple):
    """A command of the command line, with the content of its help page."""

    summary: str
    options: tuple[Option, ...]
    operands: str = ""
    notes: tuple[str, ...] = ()
    example: str = ""


class Entry(NamedTuple):
    """An exit status or an environment variable, with the commands that have it."""

    name: str
    meaning: str
    commands: tuple[str, ...]


HELP: Final = Option("-h, --help", "show this help")
VERSION: Final = Option("--version", "show the version")

INITIAL: Final = Option("-i, --initial", "begin with the current port", default=False)

BACKEND: Final = Option(
    "-b, --backend",
    'the source of the port; "aioteredo backends" lists all',
    value="NAME",
    default_meaning="AIOTEREDO_BACKEND, else iphlpapi on Windows",
    choices={
        "iphlpapi": "the Teredo client of Windows",
        "simulated": "a simulated client that restarts every two seconds",
        "miredo": "Miredo on Linux",
    },
    accepts_others=True,  # Other packages add backends.
)

JSON: Final = Option("-j, --json", "print one JSON object on each line", default=False)

MAX_BUFFER_SIZE: Final = Option(
    "--max-buffer-size",
    "while the output is slow, keep the newest N events and drop older ones",
    value="N",
    default_meaning="16",
    convert=parse_positive_integer,
    default=16,
)

MIREDO_UID: Final = Option(
    "--miredo-uid",
    "the user that runs Miredo, as a name or a number",
    value="USER",
    default_meaning="miredo",
)

MIREDO_CGROUP: Final = Option(
    "--miredo-cgroup",
    "the cgroup of Miredo's systemd unit, below /sys/fs/cgroup",
    value="PATH",
    default_meaning="any",
)

EVENT_COUNT: Final = Option(
    "-n, --count",
    "end after N events",
    value="N",
    default_meaning="no limit",
    convert=parse_positive_integer,
)

TIMEOUT: Final = Option(
    "-t, --timeout",
    "end after S seconds",
    value="S",
    default_meaning="no limit",
    convert=parse_seconds,
)

ON_BUSY: Final = Option(
    "--on-busy",
    "how to handle a change while CMD runs",
    value="HOW",
    default_meaning="latest",
    default="latest",
    choices={
        "latest": "let CMD finish, then run it for the newest change only",
        "queue": "let CMD finish, then run it for each change in turn; "
        "if more than 1024 changes wait, drop the oldest",
        "restart": "stop CMD, and run it for the new port; "
        "if the client loses its port, stop CMD too",
    },
)

RUN_COUNT: Final = Option(
    "-n, --count",
    "end after N runs; a run that restart has stopped does not count",
    value="N",
    default_meaning="no limit",
    convert=parse_positive_integer,
)

EVERY: Final = Option(
    "--every",
    "run CMD again, with the same port, if it has not run for SECONDS",
    value="SECONDS",
    default_meaning="only on a change",
    convert=parse_seconds,
)

VERBOSE: Final = Option(
    "-v, --verbose",
    "report each run on stderr, with its duration",
    default_meaning="only failures",
    default=False,
)

NO_PORT: Final = Option(
    "--no-port",
    "if the client has no port, run CMD with TEXT in place of the port",
    value="TEXT",
    default_meaning="CMD is not run",
)

FAIL_FAST: Final = Option(
    "--fail-fast",
    "exit with 1 when CMD fails",
    default_meaning="report the failure and go on",
    default=False,
)

ALL: Final = ("watch", "port", "exec", "backends")

STATUSES: Final = (
    Entry("0", "--count or --timeout is reached", ("watch", "exec")),
    Entry("0", "the output is complete", ("port", "backends")),
    Entry("0", "nobody reads the output any more", ("watch", "port", "backends")),
    Entry("1", "the backend is unavailable or fails", ("watch", "port", "exec")),
    Entry("1", "the output cannot be written", ("watch", "port", "backends")),
    Entry("1", "CMD has failed, and --fail-fast is given", ("exec",)),
    Entry("2", "the command line or AIOTEREDO_BACKEND is wrong", ALL),
    Entry("3", "the client has no port, so nothing is printed", ("port",)),
    Entry("126", "CMD is not executable", ("exec",)),
    Entry("127", "CMD is not found", ("exec",)),
    Entry("130", "Ctrl-C has ended the command", ALL),
    Entry("143", "SIGTERM has ended the command", ALL),
    Entry("128 + N", "signal N has ended the command", ALL),
)

VARIABLES: Final = (
    Entry("AIOTEREDO_BACKEND", "the backend to use without --backend", ALL),
    Entry("NO_COLOR", "print no colours, if this is not empty", ("watch",)),
    Entry("FORCE_COLOR", "colour any output, if this is not empty", ("watch",)),
    Entry("NOTIFY_SOCKET", "the socket for reports to systemd, which sets it", ("exec",)),
    Entry("TEREDO_PORT", "set for CMD: the port, or TEXT of --no-port", ("exec",)),
    Entry("TEREDO_PREVIOUS_PORT", "set for CMD: TEREDO_PORT of the run before", ("exec",)),
)

COMMANDS: Final = {
    "watch": Command(
        "print each change of the port",
        (
            HELP,
            INITIAL,
            BACKEND,
            MIREDO_UID,
            MIREDO_CGROUP,
            JSON,
            EVENT_COUNT,
            TIMEOUT,
            MAX_BUFFER_SIZE,
        ),
        notes=(
            "A line has the local time and the change.",
            "An object of --json has the keys time, port, notification_type, missed and "
            "monotonic_ns.",
            "time is in UTC, in the format of RFC 3339.",
            "port is null if the client has no port.",
            "notification_type is PARAMETER (the port has changed), ADD, DELETE, INITIAL "
            "or a number that this version does not know.",
            "missed is the number of events that were dropped just before this event.",
            "monotonic_ns is the same moment on the monotonic clock.",
        ),
        example="aioteredo watch --initial --json | jq --unbuffered .port",
    ),
    "port": Command(
        "print the current port",
        (HELP, BACKEND, MIREDO_UID, MIREDO_CGROUP, JSON),
        notes=(
            "If the client has no port, nothing is printed, and the exit status is 3.",
            "The object of --json has the key port.",
        ),
        example="aioteredo port --backend miredo",
    ),
    "exec": Command(
        "run a command on each change of the port",
        (
            HELP,
            INITIAL,
            BACKEND,
            MIREDO_UID,
            MIREDO_CGROUP,
            RUN_COUNT,
            TIMEOUT,
            VERBOSE,
            EVERY,
            ON_BUSY,
            NO_PORT,
            FAIL_FAST,
        ),
        operands="[--] CMD [ARG ...]",
        notes=(
            "Options after CMD belong to CMD.",
            "A CMD that begins with a dash needs -- before it.",
            '"{port}" in CMD and its arguments is replaced by the port.',
            "CMD is run without a shell. On Windows, cmd.exe runs a .cmd or .bat file.",
            "The standard input of CMD is empty.",
            "Two runs of CMD never overlap.",
            "A CMD that has failed runs again at the next change, or after --every.",
            "TEREDO_PREVIOUS_PORT is empty in the first run.",
            "CMD always runs last with the newest port, unless the client has no port by "
            "then.",
            "A signal such as Ctrl-C or SIGTERM, and the end of --timeout, stop CMD: its "
            "process group gets SIGTERM, and SIGKILL 5 seconds later.",
            "On Windows, only CMD itself is terminated.",
        ),
        example='aioteredo exec --initial upnpc -r "{port}" udp',
    ),
    "backends": Command(
        "list the backends, and whether each can be used here",
        (HELP, JSON),
        notes=(
            "An object of --json has the keys name, default, available, port and reason.",
            "default is true for the backend that is used without --backend.",
            "port is the port of the client, or null.",
            "reason says why the backend is not available, or is null.",
        ),
        example="aioteredo backends",
    ),
}

MAIN: Final = Command(
    "follow the UDP port of a Teredo client",
    (HELP, VERSION),
    operands="COMMAND",
    example="aioteredo watch --initial",
)
