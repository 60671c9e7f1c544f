"""A program that records its arguments, in the place of a recipe's program."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

from ..support.command import environment
from ..support.quick_simulation import quick_command
from ..support.waiting import limit

SOURCE: Final = """
import json, sys
with open(sys.argv[1], "a") as file:
    print(json.dumps(sys.argv[2:]), file=file)
"""
"""The recorder. Its first argument is the file of the records."""


def words_of(command: str) -> list[str]:
    """Return the words of a command line of Windows or of a simple one of POSIX."""
    return [word.strip('"') for word in shlex.split(command, posix=False)]


def command_of_service(shawl: str) -> list[str]:
    """Return the command that Shawl runs as a service, with ``aioteredo`` as its name."""
    words = words_of(shawl)
    program, *arguments = words[words.index("--") + 1 :]
    assert program == r"C:\aioteredo\Scripts\aioteredo.exe"
    return ["aioteredo", *arguments]


def run_recipe(command: str, program: str, *others: str, count: int) -> None:
    """Run a recipe on a simulated client until its program has run *count* times.

    :param others: the words that replace the recipe's program
    """
    aioteredo, name, *words = words_of(command)
    assert (aioteredo, name) == ("aioteredo", "exec")
    position = words.index(program)
    words[position : position + 1] = others

    # On Linux, the recipes name Miredo.
    if "miredo" in words:
        words[words.index("miredo")] = "simulated"

    subprocess.run(
        quick_command("exec", "--count", str(count), *words),
        env=environment(AIOTEREDO_BACKEND="simulated"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=limit(),
        check=True,
    )


def recorded_calls(file: Path) -> list[list[str]]:
    """Return the arguments of each call of the recorder."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def recorder(file: Path) -> list[str]:
    """Return the command of a recorder that writes to *file*."""
    return [sys.executable, "-c", SOURCE, str(file)]
