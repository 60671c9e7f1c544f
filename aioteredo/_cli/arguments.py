"""The parser of the command line, which ``commands.py`` calls.

``reference.py`` has the options, ``options.py`` their grammar, ``help.py`` the help pages.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import SimpleNamespace

from .._selection import BUILT_IN, ENVIRONMENT_VARIABLE, backend_names, default_backend_name
from .command_options import BACKEND, HELP, NO_ADDRESS
from .options import UsageError, invalid_choice, parse_options
from .reference import COMMANDS, MAIN


class Arguments(SimpleNamespace):
    """A command, as the attribute ``command``, and the values of its options."""


def parse(argv: Sequence[str] | None = None) -> Arguments:
    """Return the command and its options.

    The options ``--help`` and ``--version`` are returned as the commands ``help`` and
    ``version``. For ``help``, the attribute ``page`` is the command to explain, or None for
    all commands.

    :param argv: the arguments without the program's name, or None for ``sys.argv``
    :raises UsageError: if the command line is wrong. The note of the exception is the name
        of the command
    """
    values, words = parse_options(MAIN.options, sys.argv[1:] if argv is None else argv)
    for option in MAIN.options:
        if values[option.attribute]:
            return Arguments(command=option.attribute, page=None)
    if not words:
        raise UsageError("COMMAND is missing")

    name = words.pop(0)
    if name == "help":
        if not words:
            return Arguments(command="help", page=None)
        # "help exec" is the same as "exec --help".
        name = words[0]
        words = ["--help"]

    if name not in COMMANDS:
        raise UsageError(invalid_choice(name, COMMANDS))

    try:
        return _parse_command(name, words)
    except UsageError as error:
        error.add_note(name)
        raise


def _parse_command(name: str, words: list[str]) -> Arguments:
    command = COMMANDS[name]
    values, operands = parse_options(command.options, words)
    if values.pop(HELP.attribute):
        return Arguments(command="help", page=name)

    if command.operands and not operands:
        raise UsageError("CMD is missing: name the command to run")
    if operands and not command.operands:
        raise UsageError(f"there is no argument {operands[0]!r}: leave it out")

    arguments = Arguments(command=name, argv=operands, **values)
    if NO_ADDRESS in command.options:
        _check_texts(arguments)
    if BACKEND in command.options:
        _check_backend(arguments.backend)
        _apply_miredo_options(arguments)
    return arguments


def _check_texts(arguments: Arguments) -> None:
    """Check that an option which replaces a missing value belongs to the value.

    :raises UsageError: if ``exec`` does not follow that value
    """
    if arguments.addresses and arguments.no_port is not None:
        raise UsageError("--no-port does not go with --addresses; use --no-address instead")
    if not arguments.addresses and arguments.no_address is not None:
        raise UsageError("--no-address needs --addresses; use --no-port to follow the port")


def _check_backend(name: str | None) -> None:
    """Check the name of the backend, without importing a backend.

    :param name: the value of ``--backend``, or None for the default
    :raises UsageError: if there is no such backend
    """
    source = "--backend"
    if name is None:
        # Only the environment can name a default that is wrong, not the platform.
        name = default_backend_name()
        source = ENVIRONMENT_VARIABLE

    # Try the built-in names first: backend_names() searches all installed packages, which
    # is slow.
    if name is not None and name not in BUILT_IN and name not in backend_names():
        raise UsageError(f"{source}: {invalid_choice(name, backend_names())}")


def _apply_miredo_options(arguments: Arguments) -> None:
    """Replace the name "miredo" by a backend, if an option says which Miredo to follow.

    :raises UsageError: if another backend is chosen, or there is no such user or cgroup
    :raises BackendUnavailableError: if this isn't Linux
    """
    user = arguments.miredo_uid
    cgroup = arguments.miredo_cgroup
    if user is None and cgroup is None:
        return
    if (arguments.backend or default_backend_name()) != "miredo":
        raise UsageError("--miredo-uid and --miredo-cgroup need --backend miredo")

    from ..backends.miredo import MiredoBackend, find_uid

    option = "--miredo-uid"
    try:
        uid = None if user is None else find_uid(user)
        option = "--miredo-cgroup"
        arguments.backend = MiredoBackend(uid, cgroup)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
