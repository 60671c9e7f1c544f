"""What the command line asks for: a command, and the values of its options.

``reference.py`` has the options, ``options.py`` their grammar, ``help.py`` the help pages.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import SimpleNamespace

from .._selection import BUILT_IN, ENVIRONMENT_VARIABLE, default_name, names
from .options import UsageError, invalid_choice, read
from .reference import BACKEND, COMMANDS, HELP, MAIN


class Arguments(SimpleNamespace):
    """A command, as the attribute ``command``, and the values of its options."""


def parse(argv: Sequence[str] | None = None) -> Arguments:
    """Return the command and its options.

    ``help`` and ``version`` are commands too; ``help`` has the attribute ``page``, the
    command that is explained, or None.

    :raises UsageError: if something is wrong. Its note is the name of the command
    """
    values, words = read(MAIN.options, sys.argv[1:] if argv is None else argv)
    for option in MAIN.options:
        if values[option.attribute]:
            return Arguments(command=option.attribute, page=None)
    if not words:
        raise UsageError("COMMAND is missing")

    name = words.pop(0)
    if name == "help":  # "help exec" is "exec --help"
        if not words:
            return Arguments(command="help", page=None)
        name, words = words[0], ["--help"]
    if name not in COMMANDS:
        raise UsageError(invalid_choice(name, COMMANDS))
    try:
        return _parse_command(name, words)
    except UsageError as error:
        error.add_note(name)
        raise


def _parse_command(name: str, words: list[str]) -> Arguments:
    command = COMMANDS[name]
    values, operands = read(command.options, words)
    if values.pop(HELP.attribute):
        return Arguments(command="help", page=name)

    if command.operands and not operands:
        raise UsageError("CMD is missing: name the command to run")
    if operands and not command.operands:
        raise UsageError(f"there is no argument {operands[0]!r}: leave it out")

    arguments = Arguments(command=name, argv=operands, **values)
    if BACKEND in command.options:
        _check_backend(arguments.backend)
        _make_miredo(arguments)
    return arguments


def _check_backend(name: str | None) -> None:
    """Refuse a name that no backend has, without importing a backend.

    :raises UsageError: if there is no such backend
    """
    source = "--backend"
    if name is None:
        # The other default, that of the platform, is always a right name.
        name, source = default_name(), ENVIRONMENT_VARIABLE
    # Only another name is worth the search of all installed packages.
    if name is not None and name not in BUILT_IN and name not in names():
        raise UsageError(f"{source}: {invalid_choice(name, names())}")


def _make_miredo(arguments: Arguments) -> None:
    """Replace the name of the backend by the backend that the two options describe.

    :raises UsageError: if the options are not for this backend, or name nothing
    :raises BackendUnavailableError: if this isn't Linux
    """
    user = arguments.miredo_uid
    cgroup = arguments.miredo_cgroup
    if user is None and cgroup is None:
        return
    if (arguments.backend or default_name()) != "miredo":
        raise UsageError("--miredo-uid and --miredo-cgroup need --backend miredo")

    from ..backends.miredo import MiredoBackend, find_uid

    option = "--miredo-uid"
    try:
        uid = None if user is None else find_uid(user)
        option = "--miredo-cgroup"
        arguments.backend = MiredoBackend(uid, cgroup)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
