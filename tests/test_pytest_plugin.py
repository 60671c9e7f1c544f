"""The fixture, as a new user meets it: each way to run async tests, in its own project.

Every project runs in a process of its own, with warnings as errors and with whatever
plugins are installed here, for that is what its user would have.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from .waiting import limit

INI = """
[pytest]
asyncio_mode = {mode}
asyncio_default_fixture_loop_scope = function
"""

EVENTS = """
async def events(teredo):
    async with watch_teredo_port() as events:
        yield events
"""


def run(
    pytester: pytest.Pytester, *args: str, mode: str = "strict", **files: str
) -> pytest.RunResult:
    """Run a project of *files*."""
    pytester.makeini(INI.format(mode=mode))
    pytester.makepyfile(**files)
    return pytester.runpytest_subprocess(
        "-W", "error", "-p", "no:cacheprovider", *args, timeout=limit()
    )


def test_fixture(pytester: pytest.Pytester) -> None:
    """``teredo`` is a client that every watch of the test uses."""
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


def test_fixture_introduces_itself(pytester: pytest.Pytester) -> None:
    """``pytest --fixtures`` tells what it is for."""
    result = run(pytester, "--fixtures", test_it="")
    result.stdout.fnmatch_lines(["teredo*", "*Teredo client of this test's own*"])


def on_pytest_asyncio(mode: str, loop_scope: str) -> str:
    if mode == "auto" and loop_scope == "function":
        declarations = "fixture = pytest.fixture"  # nothing is said of asyncio at all
    else:
        declarations = f"""
pytestmark = pytest.mark.asyncio(loop_scope="{loop_scope}")
fixture = pytest_asyncio.fixture(loop_scope="{loop_scope}")
"""
    return f"""
import asyncio
import pytest
import pytest_asyncio
from aioteredo import watch_teredo_port
{declarations}
@fixture
{EVENTS}
@pytest.mark.parametrize("port", [5, None])
async def test_change(teredo, events, port):
    assert teredo.subscriber_count == 1
    teredo.set_port(port)
    event = await events.receive()
    assert (event.port, event.missed) == (port, 0)

async def test_waiting(teredo, events):
    waiting = asyncio.ensure_future(events.receive())
    await asyncio.sleep(0)
    port = teredo.restart()
    assert (await waiting).port == port
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_pytest_asyncio(pytester: pytest.Pytester, mode: str) -> None:
    """An async fixture that yields a watch works in each mode and each loop scope."""
    result = run(
        pytester,
        mode=mode,
        test_function=on_pytest_asyncio(mode, "function"),
        test_module=on_pytest_asyncio(mode, "module"),
        test_session=on_pytest_asyncio(mode, "session"),
        test_session_too=on_pytest_asyncio(mode, "session"),
    )
    result.assert_outcomes(passed=12)


@pytest.mark.parametrize("scope", ["module", "session"])
def test_pytest_asyncio_wider_than_a_test(pytester: pytest.Pytester, scope: str) -> None:
    """A watch for many tests has a client of the same scope, made with use_backend."""
    conftest = f"""
import pytest
import pytest_asyncio
from aioteredo import SimulatedBackend, use_backend, watch_teredo_port

@pytest.fixture(scope="{scope}")
def client():
    with SimulatedBackend() as client, use_backend(client):
        yield client
        assert client.subscriber_count == 0  # the watch was closed before

@pytest_asyncio.fixture(scope="{scope}", loop_scope="{scope}")
async def events(client):
    async with watch_teredo_port() as events:
        yield events
"""
    test = f"""
import pytest
from aioteredo import get_teredo_port, watch_teredo_port

pytestmark = pytest.mark.asyncio(loop_scope="{scope}")

@pytest.mark.parametrize("port", [5, None])
async def test_change(client, events, port):
    assert client.subscriber_count == 1
    client.set_port(port)
    assert (await events.receive()).port == port

async def test_own_client_is_used_first(client, events, teredo):
    teredo.set_port(6)
    client.set_port(7)
    assert await get_teredo_port() == 6
    assert (await events.receive()).port == 7

async def test_and_no_longer_than_its_test(client, events):
    client.set_port(8)
    assert await get_teredo_port() == 8
    assert (await events.receive()).port == 8
"""
    result = run(pytester, conftest=conftest, test_one=test, test_two=test)
    result.assert_outcomes(passed=8)


def test_entered_in_one_task_and_left_in_another(pytester: pytest.Pytester) -> None:
    """pytest-asyncio does so with an async fixture, and the watch does not mind."""
    result = run(
        pytester,
        test_it="""
        import asyncio
        import pytest
        import pytest_asyncio
        from aioteredo import watch_teredo_port

        @pytest_asyncio.fixture
        async def events(teredo):
            tasks = {asyncio.current_task()}
            async with watch_teredo_port() as events:
                yield events, tasks
                assert asyncio.current_task() not in tasks
                assert len(tasks) == 2
            assert teredo.subscriber_count == 0

        @pytest.mark.asyncio
        async def test_it(teredo, events):
            stream, tasks = events
            tasks.add(asyncio.current_task())
            teredo.set_port(5)
            assert (await stream.receive()).port == 5
        """,
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio(pytester: pytest.Pytester, backend: str) -> None:
    """An async fixture that yields a watch works with anyio's plugin."""
    result = run(
        pytester,
        test_it=f"""
import anyio
import pytest
from aioteredo import watch_teredo_port

pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "{backend}"

@pytest.fixture
{EVENTS}

async def test_change(teredo, events):
    teredo.set_port(5)
    assert (await events.receive()).port == 5

async def test_handled_without_a_sleep(teredo, events):
    ports = []

    async def follow():
        async for event in events:
            ports.append(event.port)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        teredo.burst([5, None, 6])
        await anyio.wait_all_tasks_blocked()
        assert ports == [5, None, 6]
        tasks.cancel_scope.cancel()
""",
    )
    result.assert_outcomes(passed=2)


def test_anyio_wider_than_a_test(pytester: pytest.Pytester) -> None:
    """A watch for the tests of a module works with anyio's plugin."""
    result = run(
        pytester,
        test_it="""
        import pytest
        from aioteredo import SimulatedBackend, use_backend, watch_teredo_port

        pytestmark = pytest.mark.anyio

        @pytest.fixture(scope="module", params=["asyncio", "trio"])
        def anyio_backend(request):
            return request.param

        @pytest.fixture(scope="module")
        def client():
            with SimulatedBackend() as client, use_backend(client):
                yield client
                assert client.subscriber_count == 0

        @pytest.fixture(scope="module")
        async def events(anyio_backend, client):
            async with watch_teredo_port() as events:
                yield events

        @pytest.mark.parametrize("port", [5, None])
        async def test_change(client, events, port):
            client.set_port(port)
            assert (await events.receive()).port == port
        """,
    )
    result.assert_outcomes(passed=4)


def test_pytest_trio(pytester: pytest.Pytester) -> None:
    """An async fixture that yields a watch works with pytest-trio."""
    pytest.importorskip("pytest_trio", reason="pytest-trio is not installed")
    result = run(
        pytester,
        test_it=f"""
import pytest
from aioteredo import watch_teredo_port

@pytest.fixture
{EVENTS}

@pytest.mark.trio
async def test_change(teredo, events):
    teredo.set_port(5)
    assert (await events.receive()).port == 5
""",
    )
    result.assert_outcomes(passed=1)


ALONE = f"""
import pytest
from aioteredo import watch_teredo_port

pytestmark = pytest.mark.anyio

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param

@pytest.fixture
{EVENTS}

@pytest.mark.parametrize("port", range(1, 7))
async def test_alone(teredo, events, port):
    assert teredo.get_port() is None
    assert teredo.subscriber_count == 1
    teredo.set_port(port)
    assert (await events.receive()).port == port
"""


def test_in_parallel(pytester: pytest.Pytester) -> None:
    """Under pytest-xdist each test has a client of its own."""
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    result = run(pytester, "-n", "2", test_one=ALONE, test_two=ALONE)
    result.assert_outcomes(passed=24)
    result.stdout.fnmatch_lines(["*2 workers*"])


@pytest.mark.parametrize("seed", [1, 2])
def test_in_random_order(pytester: pytest.Pytester, seed: int) -> None:
    """Under pytest-randomly no test finds anything of one before."""
    pytest.importorskip("pytest_randomly", reason="pytest-randomly is not installed")
    result = run(pytester, f"--randomly-seed={seed}", test_one=ALONE, test_two=ALONE)
    result.assert_outcomes(passed=24)
    result.stdout.fnmatch_lines([f"Using --randomly-seed={seed}"])


def test_watch_left_open(pytester: pytest.Pytester) -> None:
    """It fails as the test ends, also in a task that waits, and leaves no thread."""
    result = run(
        pytester,
        test_it="""
        import asyncio
        import errno
        import threading
        import pytest
        from aioteredo import BackendError, watch_teredo_port

        @pytest.fixture
        def loop():  # outlives the client
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


def test_watch_dropped(pytester: pytest.Pytester) -> None:
    """A test that drops a watch without closing it is told so by pytest."""
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


def test_suite_without_teredo(pytester: pytest.Pytester) -> None:
    """A suite without the fixture has no client, thread or further module of ours."""
    result = run(
        pytester,
        test_it="""
        import sys
        import threading

        def test_it():
            ours = {name for name in sys.modules if name.startswith("aioteredo")}
            assert ours == {"aioteredo", "aioteredo.pytest_plugin"}
            assert not [t for t in threading.enumerate() if "aioteredo" in t.name]
        """,
    )
    result.assert_outcomes(passed=1)


def test_light_to_import() -> None:
    """Beside pytest and what it loads of anyio, the plugin brings its own modules only."""
    code = (
        "import sys, pytest, anyio.abc, anyio.lowlevel\n"
        "before = set(sys.modules)\n"
        "import aioteredo.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=limit(),
        check=True,
    )
    brought = result.stdout.split()
    assert "aioteredo.pytest_plugin" in brought
    assert not [name for name in brought if name.startswith("aioteredo.backends")]
    assert not {"anyio", "asyncio", "ctypes", "socket", "trio"}.intersection(brought)
