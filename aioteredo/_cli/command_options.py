"""The options of the commands. ``reference.py`` lists them for each command."""

from __future__ import annotations

from typing import Final

from .options import Option, parse_positive_integer, parse_seconds

HELP: Final = Option("-h, --help", "show this help")
VERSION: Final = Option("--version", "show the version")

INITIAL: Final = Option(
    "-i, --initial", "begin with the current port or addresses", default=False
)

BACKEND: Final = Option(
    "-b, --backend",
    'the source of the port and the addresses; "aioteredo backends" lists all',
    value="NAME",
    default_meaning="AIOTEREDO_BACKEND, else iphlpapi on Windows",
    choices={
        "iphlpapi": "the Teredo client of Windows",
        "simulated": "a simulated client that restarts every two seconds",
        "miredo": "Miredo on Linux",
    },
    accepts_others=True,  # Other packages add backends.
)

ADDRESSES: Final = Option(
    "--addresses",
    "follow the Teredo addresses instead of the port",
    default=False,
)

WAIT: Final = Option(
    "-w, --wait",
    "wait until the addresses are stable; a dormant client wakes up",
    default_meaning="print the addresses that are usable now",
    default=False,
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
        "restart": "stop CMD, and run it for the new port or address, if the client has "
        "one",
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
    "after SECONDS without a run, run CMD again with the same port or address",
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

NO_ADDRESS: Final = Option(
    "--no-address",
    "with --addresses: if the client has no address, run CMD with TEXT in place of each "
    "placeholder",
    value="TEXT",
    default_meaning="CMD is not run",
)

FAIL_FAST: Final = Option(
    "--fail-fast",
    "exit with 1 when CMD fails",
    default_meaning="report the failure and go on",
    default=False,
)
