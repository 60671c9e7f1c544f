"""The start of the command: its entry points, its imports, and an early Ctrl-C."""

from __future__ import annotations

import runpy
import signal
import sys
from pathlib import Path

import pytest

import aioteredo
from aioteredo import SimulatedBackend, __main__, use_backend

from ..support.command import killed_by, run_interpreter
from .marks import windows

MODULE = str(Path(aioteredo.__file__).with_name("__main__.py"))


def test_python_m_names_itself_aioteredo() -> None:
    """The usage message of ``python -m aioteredo`` has the command's name."""
    result = run_interpreter("-m", "aioteredo", "port", "--backend", "no-such-backend")
    assert result.returncode == 2
    assert result.stderr.startswith("usage: aioteredo port ")


def test_main_module_exits_with_the_status_of_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exit status of ``python -m aioteredo`` is that of the command."""
    monkeypatch.setattr(sys, "argv", ["aioteredo", "port"])
    # The exit function of the command must not run at the exit of the tests.
    monkeypatch.setattr("atexit.register", lambda function: None)

    handler = signal.getsignal(signal.SIGINT)
    try:
        with use_backend(SimulatedBackend()), pytest.raises(SystemExit) as raised:
            runpy.run_path(MODULE, run_name="__main__")
    finally:
        signal.signal(signal.SIGINT, handler)
    assert raised.value.code == 3


def test_importing_the_main_module_runs_nothing() -> None:
    """The command runs if ``__main__`` is run, but not if it is imported."""
    runpy.run_path(MODULE, run_name="aioteredo.__main__")


def test_port_and_backends_import_no_event_loop() -> None:
    """``port`` and ``backends`` start quickly, because they import only a few modules."""
    code = """
import sys
from aioteredo.__main__ import main
sys.argv[1:] = [{}]
main()
print(*sys.modules)
"""
    loops = {"anyio", "asyncio", "trio"}
    slow = {"logging", "json", "pathlib", "shutil", "datetime", "difflib", "textwrap"}
    for arguments, forbidden in (
        ("'port', '--backend', 'simulated'", loops | slow),
        ("'backends'", loops),
    ):
        result = run_interpreter("-c", code.format(arguments), check=True)
        loaded = {*result.stdout.splitlines()[-1].split()}

        assert "aioteredo" in loaded
        unwanted = sorted(loaded & forbidden)
        assert unwanted == [], f"main([{arguments}]) imports {', '.join(unwanted)}"


def test_importing_the_package_imports_no_other_module() -> None:
    """Ctrl-C would print a traceback while ``import aioteredo`` imported other modules."""
    code = "import sys; before = {*sys.modules}; import aioteredo; "
    code += "print({*sys.modules} - before)"
    done = run_interpreter("-c", code)
    assert (done.stdout, done.stderr) == ("{'aioteredo'}\n", "")


# The command, which gets Ctrl-C when it imports one of its modules.
INTERRUPTED_IMPORT = """
import signal, sys
from importlib.abc import MetaPathFinder

class Interrupt(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "aioteredo._cli.arguments":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from aioteredo.__main__ import main
sys.exit(main())
"""


def test_ctrl_c_during_an_import_ends_the_command_quietly() -> None:
    """Ctrl-C while the command imports its modules ends it without a traceback."""
    result = run_interpreter("-c", INTERRUPTED_IMPORT)
    assert result.returncode == killed_by(signal.SIGINT)
    assert (result.stdout, result.stderr) == ("", "")


@windows
def test_ctrl_c_without_an_event_loop_exits_with_130_on_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On Windows, Ctrl-C ends ``port`` with the exit status 130."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aioteredo._cli.commands.resolve", interrupt)
    monkeypatch.setattr(sys, "argv", ["aioteredo", "port"])
    assert __main__.main() == 130
