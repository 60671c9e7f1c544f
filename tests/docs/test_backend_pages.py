"""The programs of docs/backends/, and the backend that its last page builds."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from ..support.command import environment, run, run_interpreter, write_package
from ..support.documents import block
from ..support.requirements import require
from ..support.waiting import limit

if TYPE_CHECKING:
    from ..support.miredo_lab import Lab

INDEX: Final = "docs/backends/index.md"
MIREDO: Final = "docs/backends/miredo.md"
SIMULATED: Final = "docs/backends/simulated.md"
WRITING: Final = "docs/backends/writing.md"


def output_of(program: str) -> str:
    """Run a Python program that must succeed, and return its output."""
    result = run_interpreter("-W", "error", "-c", program, env=environment())
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_backend_is_given_as_an_argument_and_by_use_backend() -> None:
    """Both ways of the page lead to the same client."""
    assert output_of(block(INDEX, "python", "use_backend(client)")) == "51234\n51234\n"


def test_controls_of_the_simulated_client_print_the_output_of_the_page() -> None:
    """The program prints the lines that the page shows below it."""
    program = block(SIMULATED, "python", "client.stop()")
    assert output_of(program) == block(SIMULATED, "text", "60123")


def test_faults_of_the_simulated_client_raise_the_errors_of_the_page() -> None:
    """Each assertion of the program holds."""
    assert output_of(block(SIMULATED, "python", "fail_next_subscribe")) == ""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A network with a real Miredo."""
    if sys.platform != "linux":
        pytest.skip("Miredo runs on Linux only")
    from ..support import miredo_lab

    require("miredo", miredo_lab.missing())
    with miredo_lab.Lab() as lab:
        yield lab


def test_command_prints_the_port_of_miredo(lab: Lab) -> None:
    """The first command of the page about Miredo prints the port that Miredo has."""
    lab.start()
    port = lab.wait_for_port()
    process = lab.spawn("sh", "-c", block(MIREDO, "sh", "aioteredo port"))
    assert process.stdout is not None
    assert process.stdout.read() == f"{port}\n"
    assert process.wait(limit()) == 0


# writing a backend


def test_example_of_a_backend_keeps_the_rules(pytester: pytest.Pytester) -> None:
    """The rules about refusals and about addresses are skipped, as the page says."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    # A longer wait could only reveal mistakes, and this backend has none.
    pytester.makeconftest(
        "from aioteredo.testing import BackendContract\nBackendContract.a_while = 0.01"
    )
    pytester.makepyfile(
        my_backend=block(WRITING, "python", "class MyBackend"),
        test_contract=block(WRITING, "python", "BackendContract"),
    )
    result = pytester.runpytest_subprocess(
        "-W", "error", "-p", "no:cacheprovider", timeout=limit()
    )
    result.assert_outcomes(passed=13, skipped=19)


def test_example_of_a_backend_is_found_by_its_name(tmp_path: Path) -> None:
    """The entry point of the page makes the command line know the backend."""
    project = tomllib.loads(block(WRITING, "toml", "entry-points"))["project"]
    ((name, value),) = project["entry-points"]["aioteredo.backends"].items()
    source = block(WRITING, "python", "class MyBackend")
    write_package(tmp_path, "my_backend", source, f"{name} = {value}")

    result = run("port", "--backend", name, env=environment(tmp_path))
    assert (result.returncode, result.stdout, result.stderr) == (3, "", "")
