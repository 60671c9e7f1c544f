"""Watches in async fixtures, with each plugin that runs async tests."""

from __future__ import annotations

import pytest

from .project import EVENTS, run


def on_pytest_asyncio(mode: str, loop_scope: str) -> str:
    if mode == "auto" and loop_scope == "function":
        declarations = "fixture = pytest.fixture"  # auto mode needs no mark
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
def test_async_fixture_works_with_pytest_asyncio(
    pytester: pytest.Pytester, mode: str
) -> None:
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
def test_watch_for_many_tests_works_with_pytest_asyncio(
    pytester: pytest.Pytester, scope: str
) -> None:
    """A fixture of a wider scope makes a client of its own, with use_backend()."""
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

async def test_client_of_this_test_comes_first(client, events, teredo):
    teredo.set_port(6)
    client.set_port(7)
    assert await get_teredo_port() == 6
    assert (await events.receive()).port == 7

async def test_client_of_the_other_test_has_gone(client, events):
    client.set_port(8)
    assert await get_teredo_port() == 8
    assert (await events.receive()).port == 8
"""
    result = run(pytester, conftest=conftest, test_one=test, test_two=test)
    result.assert_outcomes(passed=8)


def test_watch_is_entered_in_one_task_and_left_in_another(
    pytester: pytest.Pytester,
) -> None:
    """pytest-asyncio sets up and tears down an async fixture in two tasks."""
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
def test_async_fixture_works_with_anyio(pytester: pytest.Pytester, backend: str) -> None:
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

async def test_events_are_handled_without_a_sleep(teredo, events):
    ports = []

    async def follow():
        async for event in events:
            ports.append(event.port)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        teredo.burst([5, None, 6])
        await teredo.wait_until_drained()
        assert ports == [5, None, 6]
        tasks.cancel_scope.cancel()
""",
    )
    result.assert_outcomes(passed=2)


def test_watch_for_many_tests_works_with_anyio(pytester: pytest.Pytester) -> None:
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


def test_async_fixture_works_with_pytest_trio(pytester: pytest.Pytester) -> None:
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
