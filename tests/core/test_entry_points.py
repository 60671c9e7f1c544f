"""Backends of other packages: they are found by entry points, and made by factories."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from aioteredo import (
    BackendUnavailableError,
    SimulatedBackend,
    _selection,
    get_teredo_port,
)

from .entry_points import OTHER_BACKEND, set_entry_points

pytestmark = pytest.mark.usefixtures("no_backend_chosen")


def returns_a_name() -> str:
    return "simulated"


def unavailable() -> None:
    raise BackendUnavailableError("not today")


@pytest.mark.every_loop
async def test_backend_of_another_package_is_loaded_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A built-in backend wins over an entry point with the same name."""
    set_entry_points(monkeypatch, other=OTHER_BACKEND, simulated="nowhere:nothing")
    assert await get_teredo_port(backend="other") == 1234
    await get_teredo_port(backend="simulated")
    assert _selection.backend_names() == ["iphlpapi", "simulated", "miredo", "other"]


@pytest.mark.every_loop
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:backend", "backend='other'.*no_such_module"),
        (f"{__name__}:set_entry_points", "backend='other'"),
        ("builtins:dict", "backend='other'.*get_port"),
        (f"{__name__}:returns_a_name", "backend='other'.*get_port"),
        (f"{__name__}:unavailable", "^not today$"),
    ],
)
async def test_broken_backend_of_another_package_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    """The error says why the backend cannot be loaded."""
    set_entry_points(monkeypatch, other=value)
    with pytest.raises(BackendUnavailableError, match=message):
        await get_teredo_port(backend="other")


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
def test_factory_that_asks_for_another_backend_gets_it(
    monkeypatch: pytest.MonkeyPatch, factory: str
) -> None:
    """A factory may use another named backend, even through an event loop of its own."""
    set_entry_points(monkeypatch, asker=f"{__name__}:{factory}", other=OTHER_BACKEND)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_selection.resolve, "asker")
        assert asked.result(20).get_port() == 1234


@pytest.mark.parametrize("factory", ["asks_itself", "asks_on_a_thread"])
def test_factory_that_asks_for_its_own_name_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, factory: str
) -> None:
    """The error says that the factory asks for itself, on whichever thread it asks."""
    set_entry_points(monkeypatch, asker=f"{__name__}:{factory}")
    with pytest.raises(BackendUnavailableError, match=r"itself \(asker -> asker\)"):
        _selection.resolve("asker")


def test_factories_that_ask_for_each_other_are_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names each backend of the circle."""
    set_entry_points(
        monkeypatch, asker=f"{__name__}:asks_directly", other=f"{__name__}:asks_the_asker"
    )
    with pytest.raises(BackendUnavailableError, match="asker -> other -> asker"):
        _selection.resolve("asker")
    with pytest.raises(BackendUnavailableError, match="other -> asker -> other"):
        _selection.resolve("other")


def test_backend_that_failed_to_load_is_loaded_by_the_next_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A failure while loading is not remembered."""
    set_entry_points(monkeypatch, asker=f"{__name__}:asks_itself")
    with pytest.raises(BackendUnavailableError):
        _selection.resolve("asker")
    set_entry_points(monkeypatch, asker=OTHER_BACKEND)
    assert _selection.resolve("asker").get_port() == 1234


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
