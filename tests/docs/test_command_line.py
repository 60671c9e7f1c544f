"""The shell commands of docs/command-line.md, and the output that the page shows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from ..support.command import environment
from ..support.documents import block, blocks
from ..support.quick_simulation import quick_command
from ..support.waiting import limit

PAGE: Final = "docs/command-line.md"


def transcripts() -> list[tuple[str, str]]:
    """Return the commands of the page's transcripts, each with the output below it."""
    return [
        (command, output)
        for source in blocks(PAGE, "console")
        for command, output in re.findall(
            r"(?m)^\$ aioteredo (.*)\n((?:[^$].*\n)*)", source
        )
    ]


def shape(output: str) -> str:
    """Return *output* with one address for all, and one digit for all."""
    output = re.sub(r"2001:0:[0-9a-f:]+", "2001:0:0", output)
    return re.sub(r'(?<="monotonic_ns": )\d+', "0", re.sub(r"\d", "0", output))


@pytest.mark.parametrize(
    ("command", "output"), [pair for pair in transcripts() if pair[0] != "backends"]
)
def test_transcript_shows_the_output(command: str, output: str) -> None:
    """A command prints the lines below it, but with other ports and another time."""
    if " echo " in command and sys.platform == "win32":
        pytest.skip("echo is not a program on Windows")
    result = run(*shlex.split(command))
    assert shape(result.stdout) == shape(output)
    assert (result.returncode, result.stderr) == (0, "")


def test_transcript_of_backends_has_a_line_for_each_backend() -> None:
    """The page shows the lines of the built-in backends, as on a Linux with Miredo."""
    (output,) = [output for command, output in transcripts() if command == "backends"]
    lines = run("backends").stdout.splitlines()[:3]

    pattern = r"(\w+ +)(not available: |available: (?:no port|port \d+))"
    for shown, line in zip(output.splitlines(), lines, strict=True):
        shown_match = re.match(pattern, shown)
        match = re.match(pattern, line.replace(" (default)", ""))
        assert shown_match is not None
        assert match is not None
        assert shown_match[1] == match[1]
    if sys.platform == "linux":
        assert output.splitlines()[0] == lines[0]


def test_port_or_a_text_is_printed(tmp_path: Path) -> None:
    """The shell command prints its text when the client has no port."""
    if sys.platform == "win32":
        pytest.skip("a POSIX shell is needed")
    source = block(PAGE, "sh", "|| echo").replace("miredo", "no-such-backend")
    result = run_in_shell(source, tmp_path)
    assert result.stdout == "the client has no port, or cannot be asked\n"


def test_address_is_printed_within_a_limit(tmp_path: Path) -> None:
    """The shell command waits for an address with ``timeout``."""
    if shutil.which("timeout") is None or sys.platform == "win32":
        pytest.skip("the program timeout of a POSIX system is needed")
    source = block(PAGE, "sh", "address").replace("miredo", "simulated")
    result = run_in_shell(source, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("2001:0:")


def run_in_shell(source: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run *source* to its end, with the installed command on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", source],
        env=environment(PATH=path),
        cwd=directory,
        capture_output=True,
        encoding="utf-8",
        timeout=limit(),
        check=False,
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        quick_command(*arguments),
        # The page shows an arrow, which the encoding of a pipe on Windows lacks.
        env=environment(PYTHONIOENCODING="utf-8"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=limit(),
        check=False,
    )
