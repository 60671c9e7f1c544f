"""Which backend is meant."""

from __future__ import annotations

import subprocess
import sys
import threading
from importlib.metadata import EntryPoint, EntryPoints

import pytest

import aioteredo
from aioteredo import (
    BackendUnavailableError,
    SimulatedBackend,
    _backend,
    get_teredo_port,
    use_backend,
    watch_teredo_port,
)


@pytest.fixture(autouse=True)
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """No default and nothing loaded yet, whatever the environment says."""
    monkeypatch.delenv("AIOTEREDO_BACKEND", raising=False)
    monkeypatch.setattr(_backend, "_by_name", {})


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
    monkeypatch.setattr(_backend, "PLATFORM_DEFAULT", "simulated")
    assert await get_teredo_port() in range(49152, 65536)


def test_blocks_of_two_threads_need_not_nest() -> None:
    """A use_backend block that ends takes away its own default and no other."""
    first, second = use_backend("one"), use_backend("two")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert _backend._default() == ("two", "use_backend()")
    second.__exit__(None, None, None)
    assert not _backend._defaults


def entry_points(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    group = _backend.ENTRY_POINT_GROUP
    points = EntryPoints(EntryPoint(n, v, group) for n, v in values.items())
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: points)


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
    assert _backend.names() == ["iphlpapi", "simulated", "miredo", "other"]


def other_backend() -> SimulatedBackend:
    return SimulatedBackend(1234)


@pytest.mark.every_loop
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:backend", "backend='other'.*no_such_module"),
        (f"{__name__}:entry_points", "backend='other'"),
        ("builtins:dict", "backend='other'.*get_port"),
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
    assert sorted(aioteredo.__all__) == sorted(sum(aioteredo._MODULES.values(), ()))
    for name in aioteredo.__all__:
        assert getattr(aioteredo, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        aioteredo.no_such_name  # noqa: B018


def modules_after(code: str) -> set[str]:
    code = f"import sys; {code}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return set(output.split())


def test_import_brings_nothing_else() -> None:
    """Importing the package imports nothing but the module of its names."""
    brought = modules_after("import aioteredo") - modules_after("import importlib, typing")
    assert brought == {"aioteredo"}


def test_watch_brings_no_backend() -> None:
    """With the watch come the modules between it and the loop, and nothing heavy."""
    brought = modules_after("from aioteredo import watch_teredo_port")
    brought -= modules_after("import anyio, anyio.lowlevel, anyio.abc")
    heavy = {"ctypes", "asyncio", "trio", "socket", "importlib.metadata", "logging"}
    assert not brought & {*heavy, "argparse", "aioteredo.backends"}


def test_fork_keeps_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child forgets the backends of its parent, and a lock that was held."""
    monkeypatch.setattr(_backend, "_by_name_lock", held := threading.Lock())
    _backend._by_name["simulated"] = SimulatedBackend()
    held.acquire()
    _backend._forget_after_fork()
    assert not _backend._by_name
    assert not _backend._by_name_lock.locked()
