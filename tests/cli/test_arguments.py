"""The command line's options, what is wrong usage, the help pages, and README's tables."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import aioteredo
from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.arguments import parse
from aioteredo._cli.commands import main
from aioteredo._cli.help import describe_option
from aioteredo._cli.options import parse_options
from aioteredo._cli.reference import (
    BACKEND,
    COMMANDS,
    HELP,
    MAIN,
    STATUSES,
    VARIABLES,
    Command,
    Entry,
)
from aioteredo._selection import BUILT_IN

from ..support.command import VARIABLES as SHELL_VARIABLES
from ..support.command import environment, run, write_package
from ..support.readme import README
from ..support.waiting import limit

PAGES: Mapping[str | None, Command] = {None: MAIN} | dict(COMMANDS.items())


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SHELL_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def other_package(tmp_path: Path) -> dict[str, str]:
    """An environment with a backend of another package, ``other``."""
    source = "from aioteredo import SimulatedBackend"
    write_package(tmp_path, "other", source, "other = other:SimulatedBackend")
    return environment(tmp_path)


# the version


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` prints the version of the package."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"aioteredo {aioteredo.__version__}\n"


def test_version_of_the_executable() -> None:
    """So it is for the real one."""
    result = run("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"aioteredo {aioteredo.__version__}\n"


def test_version_is_that_of_the_metadata() -> None:
    """The number in the source is what the package is built with."""
    code = "import importlib.metadata as m; print(m.version('aioteredo'))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        timeout=limit(),
        check=False,
    )
    if "PackageNotFoundError" in result.stderr:
        pytest.skip("aioteredo is not installed")
    assert result.stdout.strip() == aioteredo.__version__


def test_version_needs_no_metadata() -> None:
    """A frozen program has none, and the import of the package does not look for it."""
    code = """
import aioteredo
print(aioteredo.__version__, "importlib.metadata" in sys.modules)
"""
    root = str(Path(aioteredo.__file__).parent.parent)
    result = subprocess.run(
        [sys.executable, "-ISc", f"import sys; sys.path.insert(0, {root!r})\n{code}"],
        capture_output=True,
        encoding="utf-8",
        timeout=limit(),
        check=True,
    )
    assert result.stdout.split() == [aioteredo.__version__, "False"]


# what is wrong usage


def wrong(*arguments: str, env: dict[str, str] | None = None) -> str:
    """Return the last line of what the executable says of wrong usage."""
    result = run(*arguments, env=env or environment())
    assert (result.returncode, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    name = arguments[0] if arguments and arguments[0] in COMMANDS else None
    program = f"aioteredo {name}" if name else "aioteredo"
    assert lines[0].startswith(f"usage: {program} [OPTION ...]")
    assert lines[-2] == f'See "{program} --help".'
    assert "\033" not in result.stderr
    return lines[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["wach"],
            "aioteredo: invalid choice 'wach': did you mean 'watch'?",
        ),
        (
            ["dance"],
            "aioteredo: invalid choice 'dance': choose from watch, port, exec, backends",
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
        (["port", "-jx"], "aioteredo port: --json takes no value"),
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
def test_wrong_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last line names the command and the option, and says what is wrong."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == message


def test_wrong_usage_of_a_command() -> None:
    """The executable prints the usage of the command, where its help is, and the error."""
    message = "aioteredo watch: --count must be 1 or more, not 0"
    assert wrong("watch", "--count", "0") == message


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command, the commands are listed, and a script does not go on."""
    assert main([]) == 2
    error = capsys.readouterr().err
    assert error.endswith("\naioteredo: COMMAND is missing\n")
    assert "backends              list the backends" in error
    assert wrong() == "aioteredo: COMMAND is missing"


def test_colours_are_not_forced_into_an_error() -> None:
    """An error has no colours, although argparse of newer Pythons has coloured errors."""
    wrong("watch", "--count", "0", env=environment(FORCE_COLOR="1"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, arguments are text")
def test_argument_that_is_not_text() -> None:
    """Bytes that are no text are shown escaped."""
    message = r"aioteredo port: --backend: invalid choice '\udcff': choose from "
    assert wrong("port", "--backend", "\udcff").startswith(message)


# the backend's name


@pytest.mark.parametrize("arguments", [["watch"], ["port"], ["exec", "true"]])
def test_misspelt_backend_of_the_environment(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the variable."""
    message = "AIOTEREDO_BACKEND: invalid choice 'simulate': did you mean 'simulated'?"
    env = environment(AIOTEREDO_BACKEND="simulate")
    assert wrong(*arguments, env=env) == f"aioteredo {arguments[0]}: {message}"
    monkeypatch.setenv("AIOTEREDO_BACKEND", "simulate")
    assert main(arguments) == 2


def test_option_overrides_a_misspelt_backend_of_the_environment() -> None:
    """A variable that is not used is not wrong."""
    result = run("port", "-b", "simulated", env=environment(AIOTEREDO_BACKEND="x"))
    assert result.returncode == 0


def test_backend_of_another_package(other_package: dict[str, str]) -> None:
    """A name that another package registers is a right one, and may be suggested."""
    assert run("port", "--backend", "other", env=other_package).returncode == 3
    message = "aioteredo port: --backend: invalid choice 'othr': did you mean 'other'?"
    assert wrong("port", "--backend", "othr", env=other_package) == message


def test_backend_of_use_backend_is_not_looked_up() -> None:
    """An object that a program has chosen has no name that could be wrong."""
    with use_backend(SimulatedBackend()):
        assert main(["port"]) == 3


def test_checking_a_name_imports_no_backend() -> None:
    """A right name costs no import, and a built-in one no search of the packages."""
    code = """
import sys
from aioteredo._cli.arguments import parse
parse(["port", "--backend", "miredo"])
print(*[name for name in sys.modules if "backends" in name or "metadata" in name])
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        timeout=limit(),
        check=True,
    )
    assert "aioteredo.backends" not in result.stdout
    assert set(result.stdout.split()) <= set(brought_by_python())


def brought_by_python() -> list[str]:
    code = "import sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, encoding="utf-8", timeout=limit()).split()


# the grammar


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
def test_forms_of_options(words: list[str]) -> None:
    """All forms of POSIX and GNU mean the same."""
    with use_backend(SimulatedBackend()):
        arguments = parse(["watch", *words])
    assert (arguments.count, arguments.initial, arguments.json) == (5, True, True)
    assert (arguments.max_buffer_size, arguments.timeout) == (16, None)


@pytest.mark.parametrize("text", ["", "-", "-1", "=", "{port}", "\udcff"])
@pytest.mark.parametrize("form", [["--no-port={}"], ["--no-port", "{}"]])
def test_any_text_for_no_port(text: str, form: list[str]) -> None:
    """Text is taken as it is, even if it begins with a dash."""
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
def test_what_belongs_to_cmd(words: list[str], cmd: list[str]) -> None:
    """The first word that is no option begins CMD, and so does what comes after ``--``."""
    with use_backend(SimulatedBackend()):
        arguments = parse(["exec", *words])
    assert (arguments.argv, arguments.initial) == (cmd, False)


def test_options_of_cmd_with_the_executable(tmp_path: Path) -> None:
    """CMD gets its own options and a ``--`` of its own, without one before it."""
    (tmp_path / "cmd.py").write_text(
        "import sys; print(*sys.argv[1:], flush=True); sys.exit(1)", "utf-8"
    )
    cmd = [sys.executable, str(tmp_path / "cmd.py"), "--initial", "--", "{port}", "-h"]
    result = run("exec", "-i", "-b", "simulated", "--fail-fast", *cmd)
    assert result.returncode == 1
    assert re.fullmatch(r"--initial -- \d+ -h\n", result.stdout)


@pytest.mark.parametrize("timeout", ["1e300", "1e-9", " 5 "])
def test_extreme_timeouts(timeout: str) -> None:
    """A limit that is far off, or reached at once, is one as well."""
    words = ["--initial", "--count=1", "--backend=simulated", "--timeout", timeout]
    result = run("watch", *words)
    assert (result.returncode, result.stderr) == (0, "")


# the help pages


Page = Callable[..., str]


@pytest.fixture
def page(capsys: pytest.CaptureFixture[str]) -> Page:
    """What arguments print that ask for help."""

    def ask(*arguments: str) -> str:
        assert main(arguments) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        return captured.out

    return ask


@pytest.mark.parametrize("arguments", [["-h"], ["help"]])
def test_help_of_all_commands(arguments: list[str], page: Page) -> None:
    """``help``, ``--help`` and ``-h`` are the same."""
    assert page(*arguments) == page("--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str, page: Page) -> None:
    """So are ``help watch``, ``watch --help`` and ``watch -h`` among other options."""
    option = "-i" if command in ("watch", "exec") else "-j"
    expected = page("help", command)
    assert page(command, "--help") == expected
    assert page(command, f"{option}h", "--nonsense") == expected


@pytest.mark.parametrize("name", PAGES)
def test_help_page(name: str | None, page: Page) -> None:
    """A page has 80 columns, and lists the options, statuses and variables of its command."""
    text = page(*filter(None, [name]), "--help")
    assert max(map(len, text.splitlines())) <= 80
    assert "example: aioteredo" in text

    words = " ".join(text.split())
    for option in PAGES[name].options:
        flags = f"{option.flags} {option.value}".strip()
        assert f"{flags} {describe_option(option)}" in words
        for choice, effect in option.choices.items():
            assert f"{choice} {effect}" in words
    for entry in STATUSES + VARIABLES:
        expected = name is None or name in entry.commands
        assert (f" {entry.name} {entry.meaning}" in words) is expected


def test_help_page_of_the_executable(page: Page) -> None:
    """The page is the same in a pipe, and on all Pythons: nothing can colour it."""
    result = run("exec", "--help", env=environment(FORCE_COLOR="1"))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == page("exec", "--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_parser_takes_what_the_help_page_says(name: str) -> None:
    """Each name of each option is accepted, and the default is what the page says."""
    command = COMMANDS[name]
    cmd = ["true"] if command.operands else []
    defaults, _ = parse_options(command.options, cmd)
    for option in command.options:
        if option is HELP:
            continue
        if option.default not in (None, False):
            assert option.default_meaning == str(option.default)
        assert defaults[option.attribute] == option.default
        value = [next(iter(option.choices), "7")] if option.value else []
        for flag in option.names:
            values, _ = parse_options(command.options, [flag, *value, *cmd])
            text = str(values[option.attribute]).removesuffix(".0")
            assert text == (value or ["True"])[0]


def test_built_in_backends_are_the_choices_of_the_help_pages() -> None:
    """None is forgotten."""
    assert [*BACKEND.choices] == [*BUILT_IN]


# README


def options_table() -> list[str]:
    options = [option for command in COMMANDS.values() for option in command.options]
    lines = ["| option | commands | meaning | default |", "|---|---|---|---|"]
    lines.append(row("`--version`", "", "show the version", ""))
    for option in [o for n, o in enumerate(options) if o not in options[:n]]:
        commands = [name for name, c in COMMANDS.items() if option in c.options]
        *short, long = option.names
        value = f" {option.value}" if option.value else ""
        flags = ", ".join(f"`{flag}`" for flag in [*short, f"{long}{value}"])
        where = "all" if option is HELP else ", ".join(commands)
        text = option.meaning
        if option.choices:
            text += f": {', '.join(f'`{choice}`' for choice in option.choices)}"
        lines.append(row(flags, where, text, option.default_meaning))
    return lines


def entries_table(title: str, entries: tuple[Entry, ...]) -> list[str]:
    lines = [f"| {title} | commands | meaning |", "|---|---|---|"]
    for entry in entries:
        everywhere = len(entry.commands) == len(COMMANDS)
        where = "all" if everywhere else ", ".join(entry.commands)
        lines.append(row(f"`{entry.name}`", where, entry.meaning))
    return lines


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


@pytest.mark.parametrize(
    "table",
    [
        options_table(),
        entries_table("exit status", STATUSES),
        entries_table("environment variable", VARIABLES),
    ],
    ids=["options", "exit statuses", "variables"],
)
def test_table_of_the_readme(table: list[str]) -> None:
    """README's table has each option, exit status and variable of the help pages."""
    lines = README.read_text("utf-8").splitlines()
    start = lines.index(table[0])
    end = lines.index("", start)
    assert lines[start:end] == table, "write it as: \n" + "\n".join(table)
