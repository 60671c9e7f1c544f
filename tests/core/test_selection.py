"""The choice of a backend: by argument, ``use_backend()``, environment or platform."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from aioteredo import (
    BackendUnavailableError,
    SimulatedBackend,
    _selection,
    get_teredo_port,
    use_backend,
    watch_teredo_port,
)

from ..support.python import output_of

pytestmark = pytest.mark.usefixtures("no_backend_chosen")


@pytest.mark.every_loop
async def test_argument_wins_over_use_backend_and_that_over_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The innermost ``use_backend()`` block counts."""
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
async def test_no_default_backend_raises_and_names_the_choices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the ways to choose a backend, and the usable backends."""
    monkeypatch.setenv("AIOTEREDO_BACKEND", "")
    with pytest.raises(BackendUnavailableError) as raised:
        async with watch_teredo_port():
            pytest.fail("entered")
    for word in ("backend", "use_backend()", "AIOTEREDO_BACKEND", "'simulated'"):
        assert word in str(raised.value)


@pytest.mark.every_loop
@pytest.mark.skipif(sys.platform == "win32", reason="available there")
async def test_iphlpapi_on_another_platform_is_unavailable() -> None:
    """The error says that the backend needs Windows, and names the argument *library*."""
    with pytest.raises(BackendUnavailableError, match="needs Windows.*library=PATH"):
        await get_teredo_port(backend="iphlpapi")


@pytest.mark.every_loop
async def test_name_stands_for_the_same_client_each_time() -> None:
    """A watch and a question by the same name see the same port."""
    port = await get_teredo_port(backend="simulated")
    async with watch_teredo_port(initial=True, backend="simulated") as events:
        assert (await events.receive()).port == port


@pytest.mark.parametrize("backend", [3, object(), SimulatedBackend, b"simulated"])
def test_value_that_is_not_a_backend_raises_type_error(backend: object) -> None:
    """Each function that takes a backend checks it at once."""
    for function in (
        lambda: watch_teredo_port(backend=backend),  # type: ignore[arg-type]
        lambda: use_backend(backend),  # type: ignore[arg-type]
        lambda: get_teredo_port(backend=backend).send(None),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="^backend must be"):
            function()


@pytest.mark.every_loop
async def test_default_of_the_platform_is_used_without_a_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without an argument, a block and a variable, the platform's default is used."""
    monkeypatch.setattr(_selection, "PLATFORM_DEFAULT", "simulated")
    assert await get_teredo_port() in range(49152, 65536)


def test_overlapping_use_backend_blocks_remove_their_own_default() -> None:
    """A block that ends removes its own default, even if a later block is open."""
    first = use_backend("one")
    second = use_backend("two")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert _selection._default() == ("two", "use_backend()")
    second.__exit__(None, None, None)

    assert not _selection._defaults


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
def test_forked_child_loads_its_own_backend() -> None:
    """The threads of a named backend exist in the parent only, so the child forgets it."""
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


def test_threads_that_load_one_name_at_once_get_one_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All threads get the backend that was stored first."""
    barrier = threading.Barrier(8, timeout=20)
    made: list[SimulatedBackend] = []

    def make() -> SimulatedBackend:
        barrier.wait()  # Each thread has found that the name is not loaded yet.
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
    """The error names the backend, for example on a Python that lacks ctypes."""
    monkeypatch.setitem(sys.modules, f"aioteredo.backends.{name}", None)
    with pytest.raises(BackendUnavailableError, match=f"^backend='{name}': .*imported"):
        await get_teredo_port(backend=name)
