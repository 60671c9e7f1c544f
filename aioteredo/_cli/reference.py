"""The commands, their options and their facts: what can be said, and what a help page says.

The parser, the help pages and the test of README's tables read the same objects, so that
they cannot contradict each other.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .options import Option, positive, seconds


class Command(NamedTuple):
    """A command of the command line, and the facts of its help page."""

    summary: str
    options: tuple[Option, ...]
    operands: str = ""
    facts: tuple[str, ...] = ()
    example: str = ""


class Fact(NamedTuple):
    """An exit status or an environment variable, and the commands that have it."""

    name: str
    meaning: str
    commands: tuple[str, ...]


HELP: Final = Option("-h, --help", "show this help")
VERSION: Final = Option("--version", "show the version")

INITIAL: Final = Option("-i, --initial", "begin with the port as it is now", default=False)

BACKEND: Final = Option(
    "-b, --backend",
    'where the port comes from; "aioteredo backends" lists all',
    value="NAME",
    otherwise="AIOTEREDO_BACKEND, else iphlpapi on Windows",
    choices={
        "iphlpapi": "the Teredo client of Windows",
        "simulated": "a client that restarts every two seconds",
        "miredo": "Miredo on Linux",
    },
    closed=False,  # other packages have more
)

JSON: Final = Option("-j, --json", "print one JSON object on each line", default=False)

MAX_BUFFER_SIZE: Final = Option(
    "--max-buffer-size",
    "keep N events while the output is slow, and drop older ones",
    value="N",
    otherwise="16",
    convert=positive,
    default=16,
)

MIREDO_UID: Final = Option(
    "--miredo-uid",
    "Miredo's user, a name or a number",
    value="USER",
    otherwise="miredo",
)

MIREDO_CGROUP: Final = Option(
    "--miredo-cgroup",
    "Miredo's unit below /sys/fs/cgroup",
    value="PATH",
    otherwise="any",
)

COUNT: Final = Option(
    "-n, --count", "end after N events", value="N", otherwise="no limit", convert=positive
)

TIMEOUT: Final = Option(
    "-t, --timeout",
    "end after S seconds",
    value="S",
    otherwise="no limit",
    convert=seconds,
)

ON_BUSY: Final = Option(
    "--on-busy",
    "if the port changes while CMD runs",
    value="HOW",
    otherwise="latest",
    default="latest",
    choices={
        "latest": "when CMD has ended, run it for the newest change only",
        "queue": "run CMD for each change, one after the other; "
        "of more than 1024 waiting changes, drop the oldest",
        "restart": "stop CMD, and run it for the change; "
        "stop it also when the client has no port any more",
    },
)

RUNS: Final = Option(
    "-n, --count",
    "end after N runs, without those that restart has stopped",
    value="N",
    otherwise="no limit",
    convert=positive,
)

EVERY: Final = Option(
    "--every",
    "run CMD again after so many SECONDS without a run",
    value="SECONDS",
    otherwise="only on a change",
    convert=seconds,
)

VERBOSE: Final = Option("-v, --verbose", "report each run on stderr", default=False)

NO_PORT: Final = Option(
    "--no-port",
    "run CMD also when the client has no port, with TEXT for the port",
    value="TEXT",
    otherwise="CMD is not run",
)

FAIL_FAST: Final = Option("--fail-fast", "exit with 1 when CMD fails", default=False)

ALL: Final = ("watch", "port", "exec", "backends")

STATUSES: Final = (
    Fact("0", "--count or --timeout is reached", ("watch", "exec")),
    Fact("0", "the output is complete", ("port", "backends")),
    Fact("0", "nobody reads the output any more", ("watch", "port", "backends")),
    Fact("1", "the backend is unavailable or fails", ("watch", "port", "exec")),
    Fact("1", "the output cannot be written", ("watch", "port", "backends")),
    Fact("1", "CMD has failed under --fail-fast", ("exec",)),
    Fact("2", "the command line or AIOTEREDO_BACKEND is wrong", ALL),
    Fact("3", "the client has no port, and nothing is printed", ("port",)),
    Fact("126", "CMD cannot be executed", ("exec",)),
    Fact("127", "CMD is not found", ("exec",)),
    Fact("130", "Ctrl-C has ended the command", ALL),
    Fact("143", "SIGTERM has ended the command", ALL),
    Fact("128 + N", "signal N has ended the command", ALL),
)

VARIABLES: Final = (
    Fact("AIOTEREDO_BACKEND", "the backend if there is no --backend", ALL),
    Fact("NO_COLOR", "no colours, unless this is empty", ("watch",)),
    Fact("FORCE_COLOR", "colours in any output, unless this is empty", ("watch",)),
    Fact("NOTIFY_SOCKET", "tell systemd when CMD has run, and the port", ("exec",)),
    Fact("TEREDO_PORT", "set for CMD: the port, or TEXT of --no-port", ("exec",)),
    Fact("TEREDO_PREVIOUS_PORT", "set for CMD: TEREDO_PORT of the run before", ("exec",)),
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
            COUNT,
            TIMEOUT,
            MAX_BUFFER_SIZE,
        ),
        facts=(
            "A line has the time and the change.",
            "An object of --json has the keys time, port, notification_type, missed and "
            "monotonic_ns.",
            "time is in UTC, as in RFC 3339.",
            "port is null if the client has no port.",
            "notification_type is a name, or a number that this version does not know.",
            "missed is the number of events that were dropped just before this event.",
            "monotonic_ns is the same moment on the monotonic clock.",
        ),
        example="aioteredo watch --initial --json | jq --unbuffered .port",
    ),
    "port": Command(
        "print the port as it is now",
        (HELP, BACKEND, MIREDO_UID, MIREDO_CGROUP, JSON),
        facts=("Without a port, nothing is printed, and the exit status is 3.",),
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
            RUNS,
            TIMEOUT,
            VERBOSE,
            EVERY,
            ON_BUSY,
            NO_PORT,
            FAIL_FAST,
        ),
        operands="[--] CMD [ARG ...]",
        facts=(
            "Options after CMD belong to CMD.",
            "A CMD that begins with a dash needs -- before it.",
            '"{port}" in CMD and its arguments is replaced by the port.',
            "CMD is run without a shell. On Windows, cmd.exe runs a .cmd or .bat file.",
            "The standard input of CMD is empty.",
            "TEREDO_PREVIOUS_PORT is empty in the first run.",
            "CMD always runs last with the newest port, unless the client has no port by "
            "then.",
            "A signal, such as Ctrl-C or SIGTERM, stops CMD: its process group gets "
            "SIGTERM, and SIGKILL 5 seconds later.",
            "On Windows, only CMD itself is terminated.",
        ),
        example='aioteredo exec --initial upnpc -r "{port}" udp',
    ),
    "backends": Command(
        "list the backends, and which can be used here",
        (HELP, JSON),
        facts=(
            "An object of --json has the keys name, default, available, port and reason.",
            "port is that of the client, or null.",
            "default is true for the backend that is used without --backend.",
            "reason says why a backend is not available, or is null.",
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
