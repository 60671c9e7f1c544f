"""The command, and Python code, in processes that a test runs to their end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from .waiting import limit

VARIABLES: Final = ("NO_COLOR", "FORCE_COLOR", "AIOTEREDO_BACKEND", "TERM")
"""The environment variables that change the output of the command, or its backend."""


def write_package(directory: Path, name: str, source: str, entry_points: str) -> None:
    """Write a package of one module, with entry points for backends, to *directory*.

    The command finds the package if *directory* is in PYTHONPATH.
    """
    (directory / f"{name}.py").write_text(source, "utf-8")
    info = directory / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[aioteredo.backends]\n{entry_points}\n")


def environment(directory: Path | None = None, /, **variables: str) -> dict[str, str]:
    """Return an environment in which the command behaves alike on each machine.

    It is the environment of this process, without the variables that change colours, the
    backend or the interpreter.

    :param directory: a directory of packages, to be put in front of PYTHONPATH
    :param variables: variables to be added
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in VARIABLES and not name.startswith("PYTHON")
    }
    if path := os.environ.get("PYTHONPATH"):
        kept["PYTHONPATH"] = path

    if directory is not None:
        paths = (str(directory), kept.get("PYTHONPATH", ""))
        kept["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return kept | {"TERM": "xterm"} | variables


def command(*arguments: str) -> list[str]:
    """Return a command line: the script that pip installs, or ``python -m aioteredo``."""
    suffix = ".exe" if sys.platform == "win32" else ""
    script = Path(sys.executable).with_name(f"aioteredo{suffix}")
    if script.exists():
        return [str(script), *arguments]
    return [sys.executable, "-m", "aioteredo", *arguments]


def run(
    *arguments: str, prefix: tuple[str, ...] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, within the limit.

    :param prefix: a program and its arguments, which run the command
    :param options: options of ``subprocess.run``
    """
    options.setdefault("env", environment())
    return _run([*prefix, *command(*arguments)], **options)


def run_interpreter(
    *arguments: str, prefix: tuple[str, ...] = (), **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter to its end, within the limit, as with ``"-c", code``.

    :param prefix: a program and its arguments, which run the interpreter
    :param options: options of ``subprocess.run``
    """
    return _run([*prefix, sys.executable, *arguments], **options)


def _run(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    if "stdout" not in options and "stderr" not in options:
        options["capture_output"] = True
    defaults: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "encoding": "utf-8",
        "timeout": limit(),
        "check": False,
    }
    result: subprocess.CompletedProcess[str] = subprocess.run(
        arguments, **(defaults | options)
    )
    return result


def killed_by(number: int) -> int:
    """Return the exit status of ``Popen`` for a command that a signal has ended."""
    return 128 + number if sys.platform == "win32" else -number
