"""The examples of docs/testing.md and docs/service.md, in new projects of a user."""

from __future__ import annotations

import pytest

from ..support.documents import block
from ..support.waiting import limit
from .programs import is_dynamic_port, output_of_program

PAGE = "docs/testing.md"


def run_project(
    pytester: pytest.Pytester, *arguments: str, **files: str
) -> pytest.RunResult:
    """Run the tests of a new project, and check that nothing warns of a deprecation."""
    pytester.makepyfile(**files)
    result = pytester.runpytest_subprocess(
        "-W", "error", "-p", "no:cacheprovider", *arguments, timeout=limit()
    )
    assert "deprecat" not in (result.stdout.str() + result.stderr.str()).lower()
    return result


def test_quick_start_with_pytest_asyncio_causes_no_warning(
    pytester: pytest.Pytester,
) -> None:
    """The page's configuration and its test pass without a deprecation warning."""
    pytester.makepyprojecttoml(block(PAGE, "toml", "loop_scope"))
    test = block(PAGE, "python", "pytest_asyncio.fixture")
    run_project(pytester, test_it=test).assert_outcomes(passed=1)


def test_quick_start_with_anyio_needs_no_configuration(pytester: pytest.Pytester) -> None:
    """The test passes in a project without pytest-asyncio, and causes no warning."""
    test = block(PAGE, "python", "pytest.mark.anyio")
    run_project(pytester, "-p", "no:asyncio", test_it=test).assert_outcomes(passed=1)


def test_quick_start_with_anyio_also_works_with_pytest_trio(
    pytester: pytest.Pytester,
) -> None:
    """The page says that only the marks change."""
    pytest.importorskip("pytest_trio", reason="pytest-trio is not installed")
    test = block(PAGE, "python", "pytest.mark.anyio").replace("mark.anyio", "mark.trio")
    run_project(pytester, "-p", "no:asyncio", test_it=test).assert_outcomes(passed=1)


def test_test_of_the_service_passes(pytester: pytest.Pytester) -> None:
    """The loop of docs/service.md passes the test of docs/testing.md."""
    pytester.makepyprojecttoml(block(PAGE, "toml", "loop_scope"))
    run_project(
        pytester,
        service=block("docs/service.md", "python", "async def mirror_teredo_port"),
        test_service=block(PAGE, "python", "from service import"),
    ).assert_outcomes(passed=1)


def test_client_of_a_wider_scope_serves_several_tests(pytester: pytest.Pytester) -> None:
    """The fixture of the page is the default backend in each test of the module."""
    fixture = block(PAGE, "python", 'scope="module"')
    tests = """
import asyncio
from aioteredo import get_teredo_port

clients = set()


@pytest.mark.parametrize("port", [5, None])
def test_port(client, port):
    client.set_port(port)
    assert asyncio.run(get_teredo_port()) == port

    clients.add(client)
    assert len(clients) == 1
"""
    result = run_project(pytester, "-p", "no:asyncio", test_it=fixture + tests)
    result.assert_outcomes(passed=2)


def test_program_that_asks_once_prints_the_port() -> None:
    """The program of docs/service.md ends after it has printed the port."""
    (port,) = output_of_program(block("docs/service.md", "python", "anyio.run"))
    assert is_dynamic_port(port)
