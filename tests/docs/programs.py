"""Running the Python blocks of the documentation as programs of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..support.command import environment
from ..support.python import ROOT
from ..support.waiting import kill_at_the_limit, limit

# The client that the name "simulated" stands for restarts every two seconds, and a program
# of the documentation shows several restarts. The block itself runs as it is printed.
_RESTART_SOONER = """
from aioteredo.backends import simulated as _simulated
_simulated.RESTART_INTERVAL = {interval}
"""


def _command(block: str, interval: float) -> list[str]:
    source = _RESTART_SOONER.format(interval=interval) + block
    return [sys.executable, "-W", "error", "-u", "-c", source]


def _environment() -> dict[str, str]:
    return environment(ROOT, AIOTEREDO_BACKEND="simulated", PYTHONIOENCODING="utf-8")


def output_of_program(block: str, *, interval: float = 0.05) -> list[str]:
    """Run a block to its end, and return the lines that it prints.

    :param interval: seconds between two restarts of the simulated client
    """
    result = subprocess.run(
        _command(block, interval),
        capture_output=True,
        encoding="utf-8",
        env=_environment(),
        timeout=limit(),
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


@contextmanager
def running_program(
    block: str, *, interval: float = 0.05
) -> Iterator[subprocess.Popen[str]]:
    """Run a block that does not end by itself, and kill it after the ``with`` block."""
    with subprocess.Popen(
        _command(block, interval),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=_environment(),
    ) as process:
        timer = kill_at_the_limit(process)
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


def is_dynamic_port(text: str) -> bool:
    """Return whether *text* is a port that the simulated client takes by itself."""
    return text.isdecimal() and 49152 <= int(text) <= 65535
