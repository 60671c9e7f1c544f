"""One test body on every event loop, and a look at what each test left behind.

A coroutine function marked ``every_loop`` is collected twice: for pytest-asyncio, whose
loop factories run it on asyncio and uvloop (on Windows: Proactor and Selector), and for
anyio's plugin, which runs it on trio.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from aioteredo import _registration

from .command import Running, Runs, scripted
from .native import StandIn, load_stand_in
from .requirements import require
from .waiting import TIMEOUT, wait_until

pytest_plugins = ["pytester"]


def loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if sys.platform == "win32":
        return {
            "proactor": asyncio.ProactorEventLoop,
            "selector": asyncio.SelectorEventLoop,
        }
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.SelectorEventLoop
    }
    try:
        import uvloop
    except ImportError:  # no wheel for this interpreter
        return factories
    return factories | {"uvloop": uvloop.new_event_loop}


def pytest_asyncio_loop_factories() -> Mapping[
    str, Callable[[], asyncio.AbstractEventLoop]
]:
    return loop_factories()


def _copy(function: types.FunctionType, *marks: pytest.MarkDecorator) -> object:
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__dict__.update(function.__dict__)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__doc__ = function.__doc__
    for mark in marks:
        mark(copy)
    return copy


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> list[pytest.Item] | None:
    if not inspect.iscoroutinefunction(obj):
        return None
    if not any(m.name == "every_loop" for m in getattr(obj, "pytestmark", ())):
        return None
    on_asyncio = _copy(obj, pytest.mark.asyncio)
    on_trio = _copy(
        obj,
        pytest.mark.anyio,
        pytest.mark.usefixtures("anyio_backend"),
        pytest.mark.parametrize("anyio_backend", ["trio"], indirect=True),
    )
    items: list[pytest.Item] = []
    for copy, framework in ((on_asyncio, "asyncio"), (on_trio, "anyio")):
        for item in collector._genfunctions(name, copy):
            item.obj = copy  # pytest looks the item's function up by its name again
            item.add_marker(framework)
            items.append(item)
    return items


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def _stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    stand_in, missing = load_stand_in(tmp_path_factory.getbasetemp())
    require("native", missing)
    assert stand_in is not None
    return stand_in


@pytest.fixture
def stand_in(_stand_in: StandIn) -> Iterator[StandIn]:
    """Iphlpapi as the tests have it: native threads, and behaving as told."""
    _stand_in.reset()
    yield _stand_in
    _stand_in.join()
    live = _stand_in.live
    _stand_in.reset()
    assert live == 0, "registrations left behind"


@pytest.fixture(scope="session", autouse=True)
def _signals_as_usual() -> Iterator[None]:
    """A shell's background job ignores some, and what it starts would do so as well."""
    usual = dict.fromkeys(("SIGTERM", "SIGHUP", "SIGQUIT"), signal.SIG_DFL)
    ignored = [
        (number, handler)
        for name, handler in {**usual, "SIGINT": signal.default_int_handler}.items()
        if (number := getattr(signal, name, None)) is not None
        if signal.getsignal(number) is signal.SIG_IGN
    ]
    for number, handler in ignored:
        signal.signal(number, handler)
    yield
    for number, _ in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A command whose Teredo client is told what to do by the test."""
    with scripted(tmp_path) as running:
        yield running


@pytest.fixture
def runs() -> Iterator[Runs]:
    """A command for ``exec`` that runs until it is told to end."""
    with Runs() as runs:
        yield runs


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No registration and no thread outlives a test."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("aioteredo"):
            thread.join(TIMEOUT)
            assert not thread.is_alive(), f"{thread} left behind"
    # a thread may have cancelled one already, and be about to take it out
    wait_until(lambda: not _registration._live, "registrations left behind")


@pytest.fixture
def unraisable(
    monkeypatch: pytest.MonkeyPatch,
) -> list[sys.UnraisableHookArgs]:
    """What reached :data:`sys.unraisablehook`."""
    seen: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    return seen
