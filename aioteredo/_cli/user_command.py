"""CMD of ``exec``: the command that is run with the port or address in its arguments."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping, Sequence

import anyio

from . import process_group
from .output import report_error


class CommandFailedError(Exception):
    """An error of CMD, which could not be started or did not exit with status 0."""


class UserCommand:
    """CMD, whose arguments and environment contain the texts for a value.

    :param arguments: CMD and its arguments, with placeholders such as ``{port}``
    :param children: starts the processes; entered by the caller
    """

    def __init__(self, arguments: Sequence[str], children: process_group.Children) -> None:
        self._arguments = arguments
        self._children = children
        self._previous = ""

    async def run(self, texts: Mapping[str, str]) -> None:
        """Run CMD once and wait for its end; if cancelled, end its process group first.

        :param texts: the text for each placeholder, without braces. The environment of CMD
            has each text, and that of the first placeholder in the run before
        :raises CommandFailedError: if CMD cannot be started, or fails
        """
        arguments = [_substitute(argument, texts) for argument in self._arguments]
        name = arguments[0]

        variables = {f"TEREDO_{key.upper()}": text for key, text in texts.items()}
        key, text = next(iter(texts.items()))
        variables[f"TEREDO_PREVIOUS_{key.upper()}"] = self._previous
        environment = {**os.environ, **variables}

        try:
            child = await self._children.start(arguments, environment)
        except OSError as error:
            raise CommandFailedError(
                f"cannot run {name!r}: {error.strerror or error}"
            ) from None
        self._previous = text

        def report_refusal(pid: int, reason: str) -> None:
            report_error(f"cannot end {name!r} (pid {pid}): {reason}; waiting for it")

        try:
            status = await child.wait()
        except BaseException:
            # A CMD that has ended by itself may have left processes running on purpose.
            if not child.has_ended():
                with anyio.CancelScope(shield=True):
                    await process_group.end(child, report_refusal)
            raise

        if status:
            raise CommandFailedError(f"{name!r} {_describe_failure(status)}")


def _substitute(argument: str, texts: Mapping[str, str]) -> str:
    # One pass for all placeholders. If each placeholder had a pass of its own, a later pass
    # would replace a placeholder in the text of --no-address that an earlier one inserted.
    return re.sub(r"\{(\w+)\}", lambda match: texts.get(match[1], match[0]), argument)


def _describe_failure(status: int) -> str:
    if status > 0:
        return f"failed: exit status {status}"
    try:
        return f"failed: killed by {signal.Signals(-status).name}"
    except ValueError:  # Only two of the realtime signals have names.
        return f"failed: killed by signal {-status}"
