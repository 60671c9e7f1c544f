"""The commands, with their options, exit statuses, environment variables and notes.

The parser, the help pages and the test of README's tables use the same objects, so they
cannot contradict each other.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .command_options import (
    ADDRESSES,
    BACKEND,
    EVENT_COUNT,
    EVERY,
    FAIL_FAST,
    HELP,
    INITIAL,
    JSON,
    MAX_BUFFER_SIZE,
    MIREDO_CGROUP,
    MIREDO_UID,
    NO_ADDRESS,
    NO_PORT,
    ON_BUSY,
    RUN_COUNT,
    TIMEOUT,
    VERBOSE,
    VERSION,
    WAIT,
)
from .options import Option


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


ALL: Final = ("watch", "port", "address", "exec", "backends")

STATUSES: Final = (
    Entry("0", "--count or --timeout is reached", ("watch", "exec")),
    Entry("0", "the output is complete", ("port", "address", "backends")),
    Entry(
        "0", "nobody reads the output any more", ("watch", "port", "address", "backends")
    ),
    Entry("1", "the backend is unavailable or fails", ("watch", "port", "address", "exec")),
    Entry("1", "the output cannot be written", ("watch", "port", "address", "backends")),
    Entry("1", "CMD has failed, and --fail-fast is given", ("exec",)),
    Entry("2", "the command line or AIOTEREDO_BACKEND is wrong", ALL),
    Entry("3", "the client has no port, so nothing is printed", ("port",)),
    Entry("3", "the client has no address, so nothing is printed", ("address",)),
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
    Entry(
        "TEREDO_ADDRESS",
        "set for CMD with --addresses: the first address, or TEXT of --no-address",
        ("exec",),
    ),
    Entry(
        "TEREDO_MAPPED_ADDRESS",
        "set for CMD with --addresses: the external IPv4 address in TEREDO_ADDRESS",
        ("exec",),
    ),
    Entry(
        "TEREDO_MAPPED_PORT",
        "set for CMD with --addresses: the external UDP port in TEREDO_ADDRESS",
        ("exec",),
    ),
    Entry(
        "TEREDO_PREVIOUS_ADDRESS",
        "set for CMD with --addresses: TEREDO_ADDRESS of the run before",
        ("exec",),
    ),
)

COMMANDS: Final = {
    "watch": Command(
        "print each change of the port or of the addresses",
        (
            HELP,
            ADDRESSES,
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
            "With --addresses, the key addresses replaces port. It is a list of objects "
            "like those of aioteredo address --json, and empty if the client has none.",
            "notification_type is PARAMETER (the port or the addresses have changed), ADD, "
            "DELETE, INITIAL or a number that this version does not know.",
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
    "address": Command(
        "print the current Teredo addresses",
        (HELP, WAIT, BACKEND, MIREDO_UID, MIREDO_CGROUP, JSON),
        notes=(
            "Each address has a line of its own.",
            "If the client has no address, nothing is printed, and the exit status is 3.",
            "An object of --json has the keys address, server, flags, cone, "
            "mapped_address and mapped_port.",
            "server is the IPv4 address of the Teredo server that the client uses.",
            "flags is the number of the flag bits, and cone is true if the highest of "
            "them is set.",
            "mapped_address and mapped_port are the external IPv4 address and UDP port "
            "that a NAT has given the client.",
        ),
        example="aioteredo address --wait --json | jq .mapped_port",
    ),
    "exec": Command(
        "run a command on each change of the port or of the addresses",
        (
            HELP,
            ADDRESSES,
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
            NO_ADDRESS,
            FAIL_FAST,
        ),
        operands="[--] CMD [ARG ...]",
        notes=(
            "Options after CMD belong to CMD.",
            "A CMD that begins with a dash needs -- before it.",
            '"{port}" in CMD and its arguments is replaced by the port.',
            'With --addresses, "{address}", "{mapped_address}" and "{mapped_port}" are '
            "replaced by the first address, and by the external IPv4 address and UDP port "
            "in it.",
            "CMD is run without a shell. On Windows, cmd.exe runs a .cmd or .bat file.",
            "The standard input of CMD is empty.",
            "Two runs of CMD never overlap.",
            "A CMD that has failed runs again at the next change, or after --every.",
            "TEREDO_PREVIOUS_PORT and TEREDO_PREVIOUS_ADDRESS are empty in the first run.",
            "CMD always runs last with the newest port or address, unless the client has "
            "none by then.",
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
    "follow the UDP port and the addresses of a Teredo client",
    (HELP, VERSION),
    operands="COMMAND",
    example="aioteredo watch --initial",
)
