"""The parser of the command line: the forms of options, and the answers to wrong usage."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.arguments import parse
from aioteredo._cli.commands import main

from ..support.command import environment, run
from .wrong_usage import answer_to_wrong_usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["wach"],
            "aioteredo: invalid choice 'wach': did you mean 'watch'?",
        ),
        (
            ["dance"],
            "aioteredo: invalid choice 'dance': choose from watch, port, address, exec, "
            "backends",
        ),
        (
            ["help", "ports"],
            "aioteredo: invalid choice 'ports': did you mean 'port'?",
        ),
        (
            ["--versoin"],
            "aioteredo: there is no option '--versoin': did you mean '--version'?",
        ),
        (
            ["watch", "--intial"],
            "aioteredo watch: there is no option '--intial': did you mean '--initial'?",
        ),
        (
            ["watch", "--init"],
            "aioteredo watch: there is no option '--init': did you mean '--initial'?",
        ),
        (
            ["port", "--initial"],
            "aioteredo port: there is no option '--initial'",
        ),
        (["port", "-x"], "aioteredo port: there is no option '-x'"),
        (
            ["watch", "-n-" + "0" * 100 + "1"],
            "aioteredo watch: --count must be 1 or more, not -" + "0" * 100 + "1",
        ),
        (
            ["port", "--backend=simulated", "--miredo-uid=1"],
            "aioteredo port: --miredo-uid and --miredo-cgroup need --backend miredo",
        ),
        (["port", "--json=yes"], "aioteredo port: --json takes no value"),
        (
            ["port", "6"],
            "aioteredo port: there is no argument '6': leave it out",
        ),
        (
            ["port", "-"],
            "aioteredo port: there is no argument '-': leave it out",
        ),
        (
            ["port", "-b"],
            "aioteredo port: --backend needs a value, NAME; if the value begins with a "
            "dash, write --backend=NAME",
        ),
        (
            ["port", "-b", "-j"],
            "aioteredo port: --backend needs a value, NAME; if the value begins with a "
            "dash, write --backend=NAME",
        ),
        (
            ["port", "-b", "--json"],
            "aioteredo port: --backend needs a value, NAME; if the value begins with a "
            "dash, write --backend=NAME",
        ),
        (
            ["port", "--backend", "mirdo"],
            "aioteredo port: --backend: invalid choice 'mirdo': did you mean 'miredo'?",
        ),
        (
            ["port", "--backend="],
            "aioteredo port: --backend: invalid choice '': "
            "choose from iphlpapi, simulated, miredo",
        ),
        (["watch", "--count", "-1"], "aioteredo watch: --count must be 1 or more, not -1"),
        (["watch", "-n0"], "aioteredo watch: --count must be 1 or more, not 0"),
        (
            ["watch", "--count", "1e3"],
            "aioteredo watch: --count must be a whole number, not '1e3'",
        ),
        (
            ["watch", "--count="],
            "aioteredo watch: --count must be a whole number, not ''",
        ),
        (
            ["watch", "--max-buffer-size", "0"],
            "aioteredo watch: --max-buffer-size must be 1 or more, not 0",
        ),
        (
            ["watch", f"--count={10**20}"],
            f"aioteredo watch: --count must be {sys.maxsize} or less, not {10**20}",
        ),
        (
            ["watch", "--count", "9" * 5000],
            f"aioteredo watch: --count must be {sys.maxsize} or less, not {'9' * 5000}",
        ),
        (
            ["watch", "--timeout", "nan"],
            "aioteredo watch: --timeout must be a number of seconds, not 'nan'",
        ),
        (
            ["watch", "--timeout", "5s"],
            "aioteredo watch: --timeout must be a number of seconds, not '5s'",
        ),
        (
            ["watch", "--timeout", "inf"],
            "aioteredo watch: --timeout must be a finite number of seconds, not inf",
        ),
        (
            ["watch", "-t0"],
            "aioteredo watch: --timeout must be more than 0 seconds, not 0",
        ),
        (
            ["watch", "--timeout", "-1"],
            "aioteredo watch: --timeout must be more than 0 seconds, not -1",
        ),
        (["exec"], "aioteredo exec: CMD is missing: name the command to run"),
        (
            ["exec", "--initial", "--"],
            "aioteredo exec: CMD is missing: name the command to run",
        ),
        (
            ["exec", "--on-busy", "restrat", "true"],
            "aioteredo exec: --on-busy: invalid choice 'restrat': did you mean 'restart'?",
        ),
        (
            ["exec", "--no-port", "--fail-fast", "true"],
            "aioteredo exec: --no-port needs a value, TEXT; if the value begins with a "
            "dash, write --no-port=TEXT",
        ),
    ],
)
def test_wrong_usage_is_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line names the command and the option, and says how to correct it."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == message


def test_executable_answers_wrong_usage_of_a_command() -> None:
    """The executable prints the usage of the command, the way to help, and the error."""
    message = "aioteredo watch: --count must be 1 or more, not 0"
    assert answer_to_wrong_usage("watch", "--count", "0") == message


def test_missing_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """The commands are listed, and the exit status tells a script of the error."""
    assert main([]) == 2
    error = capsys.readouterr().err
    assert error.endswith("\naioteredo: COMMAND is missing\n")
    assert "backends                 list the backends" in error
    assert answer_to_wrong_usage() == "aioteredo: COMMAND is missing"


def test_answer_to_wrong_usage_has_no_colours() -> None:
    """FORCE_COLOR does not colour it, although newer versions of argparse have colours."""
    answer_to_wrong_usage("watch", "--count", "0", env=environment(FORCE_COLOR="1"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, arguments are text")
def test_bytes_that_are_not_text_are_escaped() -> None:
    """An argument that is not text can be printed in an error."""
    message = r"aioteredo port: --backend: invalid choice '\udcff': choose from "
    assert answer_to_wrong_usage("port", "--backend", "\udcff").startswith(message)


@pytest.mark.parametrize(
    "words",
    [
        ["-n5", "-i", "-j"],
        ["-n", "5", "-ij"],
        ["--count=5", "--json", "--initial"],
        ["--count", "5", "-ji"],
        ["-ijn5"],
        ["-ijn", "5"],
        ["-n7", "-n", "6", "-ij", "--count=5"],  # the last one wins
        ["-ij", "-n5", "--"],
    ],
)
def test_all_forms_of_options_mean_the_same(words: list[str]) -> None:
    """The forms of POSIX and of GNU are accepted."""
    with use_backend(SimulatedBackend()):
        arguments = parse(["watch", *words])
    assert (arguments.count, arguments.initial, arguments.json) == (5, True, True)
    assert (arguments.max_buffer_size, arguments.timeout) == (16, None)


@pytest.mark.parametrize("text", ["", "-", "-1", "=", "{port}", "\udcff"])
@pytest.mark.parametrize("form", [["--no-port={}"], ["--no-port", "{}"]])
def test_no_port_takes_any_text(text: str, form: list[str]) -> None:
    """The text is taken as it is, even if it begins with a dash."""
    words = [word.replace("{}", text) for word in form]
    with use_backend(SimulatedBackend()):
        arguments = parse(["exec", *words, "true"])
    assert (arguments.no_port, arguments.argv) == (text, ["true"])


@pytest.mark.parametrize(
    ("words", "cmd"),
    [
        (["upnpc", "--initial"], ["upnpc", "--initial"]),
        (["--", "upnpc", "-h"], ["upnpc", "-h"]),
        (["upnpc", "--", "x"], ["upnpc", "--", "x"]),
        (["--", "--", "x"], ["--", "x"]),
        (["--", "-upnpc"], ["-upnpc"]),
        (["-"], ["-"]),
        (["", "x"], ["", "x"]),
    ],
)
def test_first_operand_begins_cmd(words: list[str], cmd: list[str]) -> None:
    """The first operand begins CMD, and so does the word after ``--``."""
    with use_backend(SimulatedBackend()):
        arguments = parse(["exec", *words])
    assert (arguments.argv, arguments.initial) == (cmd, False)


def test_cmd_gets_its_own_options(tmp_path: Path) -> None:
    """CMD gets its own options and its own ``--``, without a ``--`` before CMD."""
    (tmp_path / "cmd.py").write_text(
        "import sys; print(*sys.argv[1:], flush=True); sys.exit(1)", "utf-8"
    )
    cmd = [sys.executable, str(tmp_path / "cmd.py"), "--initial", "--", "{port}", "-h"]
    result = run("exec", "-i", "-b", "simulated", "--fail-fast", *cmd)
    assert result.returncode == 1
    assert re.fullmatch(r"--initial -- \d+ -h\n", result.stdout)


@pytest.mark.parametrize("timeout", ["1e300", "1e-9", " 5 "])
def test_extreme_timeout_is_a_limit(timeout: str) -> None:
    """A limit that is far away, or reached at once, is accepted."""
    words = ["--initial", "--count=1", "--backend=simulated", "--timeout", timeout]
    result = run("watch", *words)
    assert (result.returncode, result.stderr) == (0, "")
