"""The backends that are shared: those with a name, and those that ``share()`` returns."""

from __future__ import annotations

from typing import Any, cast

import pytest

from aioteredo import (
    Backend,
    SimulatedBackend,
    _selection,
    get_teredo_port,
    share,
    use_backend,
    watch_teredo_port,
)
from aioteredo._sharing import SharedBackend

from .entry_points import OTHER_BACKEND, other_backend, set_entry_points

every_loop = pytest.mark.every_loop

SHARED_CLIENT = share(SimulatedBackend(1235))


def shared_backend() -> Backend:
    return SHARED_CLIENT


def client_behind(backend: Any) -> SimulatedBackend:
    """Return the client that a shared backend registers with."""
    return cast("SimulatedBackend", cast("SharedBackend", backend).inner)


@every_loop
async def test_watches_of_one_name_share_a_registration(
    monkeypatch: pytest.MonkeyPatch, no_backend_chosen: None
) -> None:
    """A name is the argument, the environment variable, or that of ``use_backend()``."""
    set_entry_points(monkeypatch, other=OTHER_BACKEND)
    monkeypatch.setenv("AIOTEREDO_BACKEND", "other")
    async with watch_teredo_port() as by_default, watch_teredo_port(backend="other"):
        with use_backend("other"):
            async with watch_teredo_port() as in_block:
                client = client_behind(_selection.resolve("other"))
                assert client.subscriber_count == 1
                client.set_port(7)
                assert (await in_block.receive()).port == 7
                assert (await by_default.receive()).port == 7
    assert client.subscriber_count == 0


@every_loop
async def test_backend_that_is_passed_as_an_object_is_used_as_it_is(
    client: SimulatedBackend, no_backend_chosen: None
) -> None:
    """Each watch has a registration of its own, also inside ``use_backend(object)``."""
    async with watch_teredo_port(backend=client), watch_teredo_port(backend=client):
        with use_backend(client):
            async with watch_teredo_port():
                assert client.subscriber_count == 3


@every_loop
async def test_object_that_is_shared_can_be_the_default(
    client: SimulatedBackend, no_backend_chosen: None
) -> None:
    """The watches of one result of ``share()`` have one registration."""
    with use_backend(share(client)):
        assert await get_teredo_port() == 1000
        async with watch_teredo_port(), watch_teredo_port() as events:
            assert client.subscriber_count == 1
            client.set_port(7)
            assert (await events.receive()).port == 7


@every_loop
async def test_two_results_for_one_backend_register_twice(
    client: SimulatedBackend,
) -> None:
    """Only the watches of the same result share a registration."""
    async with (
        watch_teredo_port(backend=share(client)),
        watch_teredo_port(backend=share(client)),
    ):
        assert client.subscriber_count == 2


def test_shared_backend_is_not_shared_again(
    monkeypatch: pytest.MonkeyPatch, no_backend_chosen: None, client: SimulatedBackend
) -> None:
    """``share()`` and the name of another package return the shared backend itself."""
    shared = share(client)
    assert share(shared) is shared

    set_entry_points(monkeypatch, other=f"{__name__}:shared_backend")
    assert _selection.resolve("other") is SHARED_CLIENT


@every_loop
async def test_repr_of_a_stream_shows_the_backend_that_is_shared(
    client: SimulatedBackend,
) -> None:
    """The repr of the shared backend is the expression that makes it."""
    shared = share(client)
    async with watch_teredo_port(backend=shared), watch_teredo_port(backend=shared) as late:
        assert repr(shared) == f"share({client!r})"
        assert f" open, backend=share({client!r}), " in repr(late)


def test_name_is_refused() -> None:
    """The error says that a name is shared already."""
    with pytest.raises(TypeError, match="'simulated' stands for a shared backend already"):
        share("simulated")  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", [3, SimulatedBackend])
def test_object_that_is_not_a_backend_is_refused(backend: Any) -> None:
    """``share()`` checks its argument as the other functions do."""
    with pytest.raises(TypeError, match="^backend must be"):
        share(backend)


def test_function_of_an_entry_point_is_called_once(
    monkeypatch: pytest.MonkeyPatch, no_backend_chosen: None
) -> None:
    """The shared backend of a name is made once, around one object of the function."""
    set_entry_points(monkeypatch, other=OTHER_BACKEND)
    shared = _selection.resolve("other")
    assert _selection.resolve("other") is shared
    assert type(client_behind(shared)) is type(other_backend())
