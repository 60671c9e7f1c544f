"""The advice of docs/command-line.md for a CMD that fails or hangs: a loop, ``timeout``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from ..support.command import command, environment
from ..support.documents import block
from ..support.waiting import limit

PAGE: Final = "docs/command-line.md"

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or shutil.which("timeout") is None,
    reason="a POSIX shell and the program timeout are needed",
)


def run_in_a_shell(
    directory: Path, source: str, map_port: str
) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a directory that contains the program ``map-port``.

    :param source: the script; its ``sleep`` returns at once, and is recorded in ``log``
    :param map_port: the shell script of ``map-port``
    """
    programs = directory / "bin"
    programs.mkdir()
    aioteredo = " ".join(command())
    write_program(programs / "aioteredo", f'exec {aioteredo} "$@"')
    write_program(programs / "sleep", f'echo sleep "$@" >>"{directory}/log"')
    write_program(directory / "map-port", map_port)

    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", source],
        cwd=directory,
        env=environment(AIOTEREDO_BACKEND="simulated", PATH=path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=limit(),
        check=False,
    )


def write_program(path: Path, source: str) -> None:
    """Write a shell script that can be executed."""
    path.write_text(f"#!/bin/sh\n{source}\n", "utf-8")
    path.chmod(0o755)


def test_loop_restarts_exec_after_a_failure(tmp_path: Path) -> None:
    """The loop pauses and restarts ``exec``; SIGTERM to ``exec`` also ends the loop."""
    map_port = """
        echo "map $1" >>log
        [ $(grep -c map log) = 1 ] && exit 7
        kill $PPID
    """
    result = run_in_a_shell(tmp_path, block(PAGE, "sh", "[ $? = 1 ]"), map_port)

    first, pause, second = (tmp_path / "log").read_text("utf-8").splitlines()
    assert (pause, first[:4], second[:4]) == ("sleep 5", "map ", "map ")
    assert first[4:].isdecimal()
    assert "failed: exit status 7" in result.stderr


def test_timeout_does_not_end_a_quick_run(tmp_path: Path) -> None:
    """A run that ends before the time limit is not reported as failed."""
    map_port = 'echo "map $1" >>log; kill $(ps -o ppid= -p $PPID)'
    result = run_in_a_shell(
        tmp_path, block(PAGE, "sh", "exec --initial timeout 30"), map_port
    )
    assert (tmp_path / "log").read_text("utf-8")[4:].strip().isdecimal()
    assert "failed" not in result.stderr


def test_timeout_ends_a_run_that_hangs(tmp_path: Path) -> None:
    """The run fails with 124, the exit status of ``timeout``."""
    source = block(PAGE, "sh", "exec --initial timeout 30").replace(
        "timeout 30", "--fail-fast timeout 0.2"
    )
    wait = shutil.which("sleep")
    result = run_in_a_shell(tmp_path, source, f"exec {wait} 1000")
    assert result.returncode == 1
    assert "failed: exit status 124" in result.stderr
