"""Running a program text in a Python process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .waiting import limit

ROOT: Final = Path(__file__).parents[2]
"""The folder of the project, from which ``aioteredo`` and ``tests`` can be imported."""


def run_python(
    code: str, *arguments: str, options: Sequence[str] = (), cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run *code* and return its exit status, standard output and standard error.

    :param arguments: the program's ``sys.argv[1:]``
    :param options: options of the interpreter, such as ``-W`` and ``error``
    :raises subprocess.TimeoutExpired: if the process has not ended within the limit; it
        is killed
    """
    return subprocess.run(
        [sys.executable, *options, "-c", code, *arguments],
        capture_output=True,
        encoding="utf-8",
        cwd=cwd,
        timeout=limit(),
        check=False,
    )


def output_of(code: str, *arguments: str, options: Sequence[str] = ()) -> str:
    """Run *code*, which must succeed and write no error, and return its output."""
    result = run_python(code, *arguments, options=options)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout
