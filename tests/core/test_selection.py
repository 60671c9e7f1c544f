"""Which backend is meant."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, EntryPoints

import pytest

import aioteredo
from aioteredo import (
    BackendUnavailableError,
    SimulatedBackend,
    _selection,
    get_teredo_port,
    use_backend,
    watch_teredo_port,
)

from ..support.python import output_of


@pytest.fixture(autouse=True)
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """No default and nothing loaded yet, whatever the environment says."""
    monkeypatch.delenv("AIOTEREDO_BACKEND", raising=False)
    monkeypatch.setattr(_selection, "_by_name", {})


@pytest.mark.every_loop
async def test_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument, then use_backend, the innermost first, then the environment."""
    monkeypatch.setenv("AIOTEREDO_BACKEND", "no-such-backend")
    with use_backend(SimulatedBackend(1)):
        assert await get_teredo_port() == 1
        with use_backend(SimulatedBackend(2)):
            assert await get_teredo_port() == 2
            assert await get_teredo_port(backend=SimulatedBackend(3)) == 3
        assert await get_teredo_port() == 1
    with pytest.raises(BackendUnavailableError, match=r"AIOTEREDO_BACKEND='no-such"):
        await get_teredo_port()
    monkeypatch.setenv("AIOTEREDO_BACKEND", "simulated")
    assert await get_teredo_port() in range(49152, 65536)


@pytest.mark.every_loop
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has a default")
async def test_no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a default the error names the ways to choose, and the choices."""
    monkeypatch.setenv("AIOTEREDO_BACKEND", "")
    with pytest.raises(BackendUnavailableError) as raised:
        async with watch_teredo_port():
            pytest.fail("entered")
    for word in ("backend", "use_backend()", "AIOTEREDO_BACKEND", "'simulated'"):
        assert word in str(raised.value)


@pytest.mark.every_loop
@pytest.mark.skipif(sys.platform == "win32", reason="available there")
async def test_wrong_platform() -> None:
    """Windows' backend says elsewhere that it needs Windows, and what to do."""
    with pytest.raises(BackendUnavailableError, match="needs Windows.*library=PATH"):
        await get_teredo_port(backend="iphlpapi")


@pytest.mark.every_loop
async def test_same_client_by_name() -> None:
    """A name stands for one client, for all who use it."""
    port = await get_teredo_port(backend="simulated")
    async with watch_teredo_port(initial=True, backend="simulated") as events:
        assert (await events.receive()).port == port


@pytest.mark.parametrize("backend", [3, object(), SimulatedBackend, b"simulated"])
def test_no_backend(backend: object) -> None:
    """What cannot be a backend is refused at once, by each function that takes one."""
    for function in (
        lambda: watch_teredo_port(backend=backend),  # type: ignore[arg-type]
        lambda: use_backend(backend),  # type: ignore[arg-type]
        lambda: get_teredo_port(backend=backend).send(None),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="^backend must be"):
            function()


@pytest.mark.every_loop
async def test_platforms_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a default for the platform, nothing has to be said."""
    monkeypatch.setattr(_selection, "PLATFORM_DEFAULT", "simulated")
    assert await get_teredo_port() in range(49152, 65536)


def test_blocks_of_two_threads_need_not_nest() -> None:
    """A use_backend block that ends takes away its own default and no other."""
    first, second = use_backend("one"), use_backend("two")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert _selection._default() == ("two", "use_backend()")
    second.__exit__(None, None, None)
    assert not _selection._defaults


def entry_points(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    group = _selection.ENTRY_POINT_GROUP
    points = EntryPoints(EntryPoint(n, v, group) for n, v in values.items())
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: points)


def returns_a_name() -> str:
    return "simulated"


def unavailable() -> None:
    raise BackendUnavailableError("not today")


@pytest.mark.every_loop
async def test_backend_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other packages' backends are found by their names, built-in names come first."""
    entry_points(
        monkeypatch, other=f"{__name__}:other_backend", simulated="nowhere:nothing"
    )
    assert await get_teredo_port(backend="other") == 1234
    await get_teredo_port(backend="simulated")
    assert _selection.names() == ["iphlpapi", "simulated", "miredo", "other"]


def other_backend() -> SimulatedBackend:
    return SimulatedBackend(1234)


@pytest.mark.every_loop
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:backend", "backend='other'.*no_such_module"),
        (f"{__name__}:entry_points", "backend='other'"),
        ("builtins:dict", "backend='other'.*get_port"),
        (f"{__name__}:returns_a_name", "backend='other'.*get_port"),
        (f"{__name__}:unavailable", "^not today$"),
    ],
)
async def test_broken_backend_of_another_package(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    """A backend that cannot be loaded is unavailable, and the reason is told."""
    entry_points(monkeypatch, other=value)
    with pytest.raises(BackendUnavailableError, match=message):
        await get_teredo_port(backend="other")


def test_public_names() -> None:
    """Every public name is there, and known to dir() before it is used; no other is."""
    assert {*aioteredo.__all__} <= {*dir(aioteredo)}
    for name in aioteredo.__all__:
        assert getattr(aioteredo, name) is not None
    for name in ("no_such_name", "Registration", "resolve"):
        with pytest.raises(AttributeError, match=name):
            getattr(aioteredo, name)


def modules_after(code: str) -> set[str]:
    return set(output_of(f"import sys; {code}; print(*sys.modules)").split())


def test_import_brings_nothing_else() -> None:
    """Importing the package imports nothing but the module of its names."""
    brought = modules_after("import aioteredo") - modules_after("import typing")
    assert brought == {"aioteredo"}


def test_watch_brings_no_backend() -> None:
    """With the watch come the modules between it and the loop, and nothing heavy."""
    brought = modules_after("from aioteredo import watch_teredo_port")
    brought -= modules_after("import anyio, anyio.lowlevel, anyio.abc")
    heavy = {"ctypes", "asyncio", "trio", "socket", "importlib.metadata", "logging"}
    assert not brought & {*heavy, "argparse", "aioteredo.backends"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_forked_child_makes_its_own_named_backend() -> None:
    """A child of a fork forgets the named backends, whose threads its parent has."""
    code = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from aioteredo import _selection
parents = _selection.resolve("simulated")
pid = os.fork()
if pid == 0:
    os._exit(_selection.resolve("simulated") is parents)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert _selection.resolve("simulated") is parents
"""
    assert output_of(code) == ""


# backends that ask for other backends


def asks_directly() -> SimulatedBackend:
    return SimulatedBackend(_selection.resolve("other").get_port())


def asks_through_a_loop() -> SimulatedBackend:
    return SimulatedBackend(asyncio.run(get_teredo_port(backend="other")))


def asks_itself() -> SimulatedBackend:
    return SimulatedBackend(_selection.resolve("asker").get_port())


def asks_on_a_thread() -> SimulatedBackend:
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(context.run, _selection.resolve, "asker")
        return SimulatedBackend(asked.result().get_port())


def asks_the_asker() -> SimulatedBackend:
    return SimulatedBackend(_selection.resolve("asker").get_port())


@pytest.mark.parametrize("factory", ["asks_directly", "asks_through_a_loop"])
def test_factory_that_asks_another_named_backend_gets_it(
    monkeypatch: pytest.MonkeyPatch, factory: str
) -> None:
    """A factory may use another named backend, also through an event loop of its own."""
    entry_points(
        monkeypatch, asker=f"{__name__}:{factory}", other=f"{__name__}:other_backend"
    )
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_selection.resolve, "asker")
        assert asked.result(20).get_port() == 1234


@pytest.mark.parametrize("factory", ["asks_itself", "asks_on_a_thread"])
def test_factory_that_asks_for_its_own_name_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, factory: str
) -> None:
    """A factory that asks for itself gets an error that says so, on any thread."""
    entry_points(monkeypatch, asker=f"{__name__}:{factory}")
    with pytest.raises(BackendUnavailableError, match=r"itself \(asker -> asker\)"):
        _selection.resolve("asker")


def test_factories_that_ask_for_each_other_are_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A circle of factories ends with an error that names each of them."""
    entry_points(
        monkeypatch, asker=f"{__name__}:asks_directly", other=f"{__name__}:asks_the_asker"
    )
    with pytest.raises(BackendUnavailableError, match="asker -> other -> asker"):
        _selection.resolve("asker")
    with pytest.raises(BackendUnavailableError, match="other -> asker -> other"):
        _selection.resolve("other")


def test_name_that_failed_to_load_can_be_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error while loading leaves no trace: the next caller loads the backend."""
    entry_points(monkeypatch, asker=f"{__name__}:asks_itself")
    with pytest.raises(BackendUnavailableError):
        _selection.resolve("asker")
    entry_points(monkeypatch, asker=f"{__name__}:other_backend")
    assert _selection.resolve("asker").get_port() == 1234


def test_threads_that_load_one_name_at_once_get_one_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads that all load a name at the same time get the backend of one of them."""
    barrier = threading.Barrier(8, timeout=20)
    made: list[SimulatedBackend] = []

    def make() -> SimulatedBackend:
        barrier.wait()  # all threads are past the look into the table
        made.append(SimulatedBackend())
        return made[-1]

    monkeypatch.setitem(_selection.BUILT_IN, "simulated", make)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(_selection.resolve, ["simulated"] * 8))
    assert len(made) == 8
    assert len({id(backend) for backend in got}) == 1
    assert _selection.resolve("simulated") is got[0]


@pytest.mark.every_loop
@pytest.mark.parametrize("name", ["iphlpapi", "simulated", "miredo"])
async def test_built_in_backend_that_cannot_be_imported_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A Python without a module that a backend needs makes the backend unavailable."""
    monkeypatch.setitem(sys.modules, f"aioteredo.backends.{name}", None)
    with pytest.raises(BackendUnavailableError, match=f"^backend='{name}': .*imported"):
        await get_teredo_port(backend=name)


def test_factory_that_asks_for_its_own_name_through_a_loop_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread of the inner question knows which names are being loaded."""

    class Point:
        name = "own"
        value = "package:factory"

        def load(self) -> Callable[[], object]:
            return lambda: asyncio.run(get_teredo_port(backend="own"))

    monkeypatch.setattr(_selection, "_entry_points", lambda: {"own": Point()})
    with pytest.raises(BackendUnavailableError, match="own"):
        asyncio.run(get_teredo_port(backend="own"))
