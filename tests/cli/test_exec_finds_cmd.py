"""How ``exec`` finds CMD when it starts, and how CMD is called."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from aioteredo._cli.commands import main

from ..support.command import environment, run
from ..support.running import RunningCommand
from .marks import posix, windows


def test_cmd_that_is_not_found_exits_with_127_at_the_start() -> None:
    """The first change may be days away, so a missing CMD is reported at the start."""
    done = run("exec", "--backend=simulated", "--", "no-such-command")
    error = "aioteredo: cannot run 'no-such-command': it is not found\n"
    assert (done.returncode, done.stdout, done.stderr) == (127, "", error)


@posix
@pytest.mark.parametrize("name", ["plain-file", "directory"])
@pytest.mark.parametrize("by_path", [True, False])
def test_cmd_that_is_not_executable_exits_with_126_at_the_start(
    tmp_path: Path, name: str, by_path: bool
) -> None:
    """A plain file or a directory has the exit status that a shell gives it."""
    (tmp_path / "plain-file").touch(0o666)
    (tmp_path / "directory").mkdir()
    cmd = str(tmp_path / name) if by_path else name
    env = environment(PATH=os.pathsep.join([str(tmp_path), os.environ["PATH"]]))
    done = run("exec", "--backend=simulated", "--", cmd, env=env)

    # A shell does not find a directory in PATH either.
    if name == "directory" and not by_path:
        assert done.returncode == 127
    else:
        error = f"aioteredo: cannot run {cmd!r}: it is not executable\n"
        assert (done.returncode, done.stderr) == (126, error)


@posix
def test_main_returns_126_or_127_without_an_executable_cmd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``main()`` returns the status of a shell if CMD cannot run."""
    (tmp_path / "plain-file").touch(0o666)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["exec", "--", "plain-file"]) == 126
    assert main(["exec", "--", "no-such-command"]) == 127
    assert capsys.readouterr().err.splitlines() == [
        "aioteredo: cannot run 'plain-file': it is not executable",
        "aioteredo: cannot run 'no-such-command': it is not found",
    ]


@posix
def test_cmd_finds_the_name_that_the_user_gave(
    running: RunningCommand, tmp_path: Path
) -> None:
    """The name that the user gave is ``$0``, and not the path where CMD was found."""
    (tmp_path / "named").symlink_to("/bin/sh")
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    print_arguments = 'tr "\\0" " " </proc/$$/cmdline'
    if sys.platform != "linux":
        print_arguments = 'echo "$0"'
    cmd = ["named", "-c", f'echo "$0"; {print_arguments}']
    running.start("exec", "--count=1", "--", *cmd, env={"PATH": path})
    running.change(1, wait=False)
    assert running.read_line() == "named"
    assert running.read_line().startswith("named")
    assert running.wait() == (0, "")


@windows
def test_batch_file_is_found_without_its_extension(
    running: RunningCommand, tmp_path: Path
) -> None:
    """On Windows, CMD may lack an extension that is in PATHEXT."""
    (tmp_path / "mapper.cmd").write_text("@echo %1\r\n")
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    running.start("exec", "--count=1", "--", "mapper", "port-{port}", env={"PATH": path})
    running.change(1, wait=False)
    assert running.read_line() == "port-1"
