"""The fixture ``teredo`` in the test suites of users.

Each suite runs in a process of its own, with warnings as errors, because installed plugins
of pytest must not disturb it.
"""

from __future__ import annotations

import pytest

from ..support.python import output_of
from .project import EVENTS, run


def test_watch_uses_the_client_of_the_fixture(pytester: pytest.Pytester) -> None:
    """Every watch of a test that requests ``teredo`` follows that client."""
    result = run(
        pytester,
        test_it="""
        import anyio
        from aioteredo import watch_teredo_port

        def test_it(teredo):
            async def main():
                async with watch_teredo_port() as events:
                    teredo.set_port(5)
                    assert (await events.receive()).port == 5
            anyio.run(main)
        """,
    )
    result.assert_outcomes(passed=1)


def test_service_that_follows_the_address_can_be_tested(
    pytester: pytest.Pytester,
) -> None:
    """The fixture also controls the addresses, and waits for their consumers."""
    result = run(
        pytester,
        test_it="""
        import anyio
        from aioteredo import watch_teredo_addresses

        ADDRESS = "2001:0:c633:6401:0:35f5:34ff:8ef8"

        async def publish(record, *, task_status):
            async with watch_teredo_addresses(initial=True) as events:
                task_status.started()
                async for event in events:
                    record[:] = map(str, event.addresses)

        def test_it(teredo):
            async def main():
                record = ["old"]
                async with anyio.create_task_group() as tasks:
                    await tasks.start(publish, record)
                    await teredo.wait_until_drained()
                    assert record == []
                    teredo.set_addresses(ADDRESS)
                    await teredo.wait_until_drained()
                    assert record == [ADDRESS]
                    teredo.stop()
                    await teredo.wait_until_drained()
                    assert record == []
                    tasks.cancel_scope.cancel()
            anyio.run(main)
        """,
    )
    result.assert_outcomes(passed=1)


def test_list_of_fixtures_describes_the_fixture(pytester: pytest.Pytester) -> None:
    """``pytest --fixtures`` prints the purpose of the fixture."""
    result = run(pytester, "--fixtures", test_it="")
    result.stdout.fnmatch_lines(["teredo*", "*Teredo client of this test's own*"])


EACH_TEST_BY_ITSELF = f"""
import pytest
from aioteredo import watch_teredo_port

pytestmark = pytest.mark.anyio

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

@pytest.fixture
{EVENTS}

@pytest.mark.parametrize("port", range(1, 7))
async def test_client_is_new(teredo, events, port):
    assert teredo.get_port() is None
    assert teredo.subscriber_count == 1
    teredo.set_port(port)
    assert (await events.receive()).port == port
"""


def test_each_test_has_its_own_client_with_xdist(pytester: pytest.Pytester) -> None:
    """Tests that pytest-xdist runs at the same time have a client each."""
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    result = run(
        pytester, "-n", "2", test_one=EACH_TEST_BY_ITSELF, test_two=EACH_TEST_BY_ITSELF
    )
    result.assert_outcomes(passed=24)
    result.stdout.fnmatch_lines(["*2 workers*"])


@pytest.mark.parametrize("seed", [1, 2])
def test_each_test_has_a_new_client_with_randomly(
    pytester: pytest.Pytester, seed: int
) -> None:
    """In the random order of pytest-randomly, no test finds the state of another."""
    pytest.importorskip("pytest_randomly", reason="pytest-randomly is not installed")
    result = run(
        pytester,
        f"--randomly-seed={seed}",
        test_one=EACH_TEST_BY_ITSELF,
        test_two=EACH_TEST_BY_ITSELF,
    )
    result.assert_outcomes(passed=24)
    result.stdout.fnmatch_lines([f"Using --randomly-seed={seed}"])


def test_watch_that_a_test_left_open_fails(pytester: pytest.Pytester) -> None:
    """At the end of the test each receive() fails, and the client's thread ends."""
    result = run(
        pytester,
        test_it="""
        import asyncio
        import errno
        import threading
        import pytest
        from aioteredo import BackendError, watch_teredo_port

        @pytest.fixture
        def loop():  # requested before the client, so it outlives the client
            loop = asyncio.new_event_loop()
            loop.left_open = []
            yield loop
            assert not [t for t in threading.enumerate() if "simulated" in t.name]
            events, waiting = loop.left_open
            for receive in waiting, events.receive():
                with pytest.raises(BackendError) as raised:
                    loop.run_until_complete(receive)
                assert raised.value.errno == errno.ESHUTDOWN
            loop.run_until_complete(events.aclose())
            loop.close()

        def test_it(loop, teredo):
            async def main():
                events = await watch_teredo_port().__aenter__()
                waiting = asyncio.ensure_future(events.receive())
                await asyncio.sleep(0)
                loop.left_open += events, waiting

            loop.run_until_complete(main())
            assert teredo.subscriber_count == 1
        """,
    )
    result.assert_outcomes(passed=1)


def test_watch_that_a_test_dropped_fails_the_test(pytester: pytest.Pytester) -> None:
    """Pytest reports the ResourceWarning of a watch that was not closed."""
    result = run(
        pytester,
        test_it="""
        import asyncio
        import pytest
        from aioteredo import watch_teredo_port

        @pytest.mark.asyncio
        async def test_it(teredo):
            await watch_teredo_port().__aenter__()
        """,
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*ResourceWarning: unclosed <aioteredo.*"])


def test_suite_without_the_fixture_imports_no_backend(
    pytester: pytest.Pytester,
) -> None:
    """Without the fixture there is no client, no thread and no further module."""
    result = run(
        pytester,
        test_it="""
        import sys
        import threading

        def test_it():
            modules = {name for name in sys.modules if name.startswith("aioteredo")}
            assert modules == {"aioteredo", "aioteredo.pytest_plugin"}
            assert not [t for t in threading.enumerate() if "aioteredo" in t.name]
        """,
    )
    result.assert_outcomes(passed=1)


def test_import_of_the_plugin_imports_no_backend_and_no_event_loop() -> None:
    """Pytest imports the plugin in every project, so the import has to be light."""
    code = (
        "import sys, pytest, anyio.abc, anyio.lowlevel\n"
        "before = set(sys.modules)\n"
        "import aioteredo.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    imported = output_of(code, options=["-W", "error"]).split()
    assert "aioteredo.pytest_plugin" in imported
    assert not [name for name in imported if name.startswith("aioteredo.backends")]
    assert not {"anyio", "asyncio", "ctypes", "socket", "trio"}.intersection(imported)
