"""The name of a backend, as an option or a variable, is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main

from ..support.command import environment, run, write_package
from ..support.python import output_of
from .wrong_usage import answer_to_wrong_usage


@pytest.fixture
def other_package(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a backend of another package, ``other``."""
    source = "from aioteredo import SimulatedBackend"
    write_package(tmp_path, "other", source, "other = other:SimulatedBackend")
    return environment(tmp_path)


@pytest.mark.parametrize("arguments", [["watch"], ["port"], ["exec", "true"]])
def test_misspelt_backend_of_the_environment_is_wrong_usage(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the variable."""
    message = "AIOTEREDO_BACKEND: invalid choice 'simulate': did you mean 'simulated'?"
    env = environment(AIOTEREDO_BACKEND="simulate")
    assert (
        answer_to_wrong_usage(*arguments, env=env) == f"aioteredo {arguments[0]}: {message}"
    )
    monkeypatch.setenv("AIOTEREDO_BACKEND", "simulate")
    assert main(arguments) == 2


def test_option_overrides_a_misspelt_backend_of_the_environment() -> None:
    """A variable that ``--backend`` overrides is not checked."""
    result = run("port", "-b", "simulated", env=environment(AIOTEREDO_BACKEND="x"))
    assert result.returncode == 0


def test_backend_of_another_package_is_accepted_and_suggested(
    other_package: dict[str, str],
) -> None:
    """The name works, and it is suggested for a misspelt name."""
    assert run("port", "--backend", "other", env=other_package).returncode == 3
    message = "aioteredo port: --backend: invalid choice 'othr': did you mean 'other'?"
    assert answer_to_wrong_usage("port", "--backend", "othr", env=other_package) == message


def test_backend_of_use_backend_is_not_looked_up() -> None:
    """An object that a program has chosen has no name that could be wrong."""
    with use_backend(SimulatedBackend()):
        assert main(["port"]) == 3


def test_built_in_name_is_checked_without_an_import() -> None:
    """The check imports no backend, and does not search the installed packages."""
    code = """
import sys
from aioteredo._cli.arguments import parse
parse(["port", "--backend", "miredo"])
print(*[name for name in sys.modules if "backends" in name or "importlib.metadata" in name])
"""
    imported = output_of(code).split()
    assert "aioteredo.backends" not in imported
    assert set(imported) <= set(output_of("import sys; print(*sys.modules)").split())
