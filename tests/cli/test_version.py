"""The version of the package, as the command and the module give it."""

from __future__ import annotations

from pathlib import Path

import pytest

import aioteredo
from aioteredo._cli.commands import main

from ..support.command import run
from ..support.python import output_of, run_python


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` prints the version of the package."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"aioteredo {aioteredo.__version__}\n"


def test_executable_prints_the_version() -> None:
    """The executable prints the version on standard output, and nothing else."""
    result = run("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"aioteredo {aioteredo.__version__}\n"


def test_version_is_the_version_of_the_metadata() -> None:
    """The number in the source is the number with which the package is built."""
    code = "import importlib.metadata as m; print(m.version('aioteredo'))"
    result = run_python(code)
    if "PackageNotFoundError" in result.stderr:
        pytest.skip("aioteredo is not installed")
    assert result.stdout.strip() == aioteredo.__version__


def test_version_needs_no_metadata() -> None:
    """A frozen program has no metadata, so the import of the package does not read it."""
    code = """
import aioteredo
print(aioteredo.__version__, "importlib.metadata" in sys.modules)
"""
    root = str(Path(aioteredo.__file__).parent.parent)
    code = f"import sys; sys.path.insert(0, {root!r})\n{code}"
    assert output_of(code, options=["-IS"]).split() == [aioteredo.__version__, "False"]
