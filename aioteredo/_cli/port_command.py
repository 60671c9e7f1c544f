"""CMD of ``exec``: the command that is run with the port in its arguments."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import anyio

from . import process_group
from .output import report_error


class CommandFailedError(Exception):
    """An error of CMD, which could not be started or did not exit with status 0."""


class PortCommand:
    """CMD, whose arguments and environment contain the port.

    :param arguments: CMD and its arguments, with ``{port}`` for the port
    :param children: starts the processes; entered by the caller
    """

    def __init__(self, arguments: Sequence[str], children: process_group.Children) -> None:
        self._arguments = arguments
        self._children = children
        self._previous_port = ""

    async def run(self, port: str) -> None:
        """Run CMD once and wait for its end; if cancelled, end its process group first.

        :raises CommandFailedError: if CMD cannot be started, or fails
        """
        arguments = [argument.replace("{port}", port) for argument in self._arguments]
        name = arguments[0]
        environment = {
            **os.environ,
            "TEREDO_PORT": port,
            "TEREDO_PREVIOUS_PORT": self._previous_port,
        }

        try:
            child = await self._children.start(arguments, environment)
        except OSError as error:
            raise CommandFailedError(
                f"cannot run {name!r}: {error.strerror or error}"
            ) from None
        self._previous_port = port

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


def _describe_failure(status: int) -> str:
    if status > 0:
        return f"failed: exit status {status}"
    try:
        return f"failed: killed by {signal.Signals(-status).name}"
    except ValueError:  # Only two of the realtime signals have names.
        return f"failed: killed by signal {-status}"
