"""One test body on every event loop, under one limit, and a look at what it left behind.

A coroutine test is marked ``every_loop`` or ``asyncio_loops``. It becomes one test for
each of these loops, and is run here, by the functions of ``loops.py`` and ``waiting.py``.
"""

from __future__ import annotations

import faulthandler
import gc
import inspect
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from aioteredo import PortEvent, _registration

from .native import StandIn, load_stand_in
from .support import loops, waiting
from .support.command import Running, Runs, scripted
from .support.requirements import require
from .support.waiting import wait_until

pytest_plugins = ["pytester"]


# the event loops


@pytest.fixture(autouse=True)
def loop_name(request: pytest.FixtureRequest) -> str | None:
    """The name of the event loop that this file runs a coroutine test on."""
    name: str | None = getattr(request, "param", None)
    return name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each event loop that a coroutine test is marked for."""
    names: list[str] = []
    if next(metafunc.definition.iter_markers("every_loop"), None):
        names = [*loops.ASYNCIO_LOOPS, loops.TRIO]
    elif next(metafunc.definition.iter_markers("asyncio_loops"), None):
        names = [*loops.ASYNCIO_LOOPS]
    if names:
        metafunc.parametrize("loop_name", names, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine test on its event loop, and fail it when it reaches its limit."""
    loop_name = pyfuncitem.funcargs.get("loop_name")
    if not isinstance(loop_name, str):
        return None
    test = pyfuncitem.obj
    arguments = {
        name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters
    }

    seconds = limit_of(pyfuncitem)

    async def main() -> None:
        await waiting.in_time(lambda: test(**arguments), "the end of the test", seconds)

    loops.run(loop_name, main, 1.2 * seconds)
    return True


# the limits


def limit_of(item: pytest.Item) -> float:
    """Return the seconds that a coroutine test may take.

    A test whose pytest-timeout is longer than the usual one has as much more time here.
    """
    usual = float(item.config.getini("timeout"))
    marker = item.get_closest_marker("timeout")
    timeout: float = usual if marker is None else marker.args[0]
    return waiting.limit() * max(timeout, usual) / usual


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Shorten pytest-timeout's limit as well, once a test has waited in vain.

    pytest-timeout ends the tests that no cancellation can end. The product shields its
    threads from being cancelled, so a broken product may have hundreds of these.
    """
    if waiting.is_short() and item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(15))
    return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave the longest tests to pytest-timeout alone.

    ``faulthandler_timeout`` is one number for all tests, and ends the whole run. It would
    end the run in the middle of a long count.
    """
    marker = item.get_closest_marker("timeout")
    last_resort = float(item.config.getini("faulthandler_timeout"))
    if marker is not None and marker.args[0] >= last_resort:
        faulthandler.cancel_dump_traceback_later()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Shorten the limit for the rest of the run once a test has reached it."""
    if report.failed and report.duration >= waiting.LIMIT:
        waiting.shorten(report.nodeid)


def pytest_unconfigure() -> None:
    """End an interpreter that waits for a thread which never ends.

    The summary is printed by now, but nothing else limits the join of the product's
    threads, which are not daemons.
    """
    faulthandler.dump_traceback_later(waiting.LIMIT, exit=True)


# what a failed assertion says


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Name the fields in which two events differ, or two lists of events.

    pytest would show ``monotonic_ns`` as a difference, which is no part of equality.
    """
    if op != "==":
        return None
    if isinstance(left, PortEvent) and isinstance(right, PortEvent):
        return [f"{left!r} == {right!r}", *differing_fields(left, right)]
    if not (isinstance(left, list) and isinstance(right, list)):
        return None
    if not all(isinstance(each, PortEvent) for each in (*left, *right)):
        return None
    lines = [f"{left!r} == {right!r}"]
    if len(left) != len(right):
        lines.append(f"{len(left)} events, not {len(right)}")
    for index, (mine, other) in enumerate(zip(left, right, strict=False)):
        lines += [f"[{index}].{line}" for line in differing_fields(mine, other)]
    return lines


def differing_fields(left: PortEvent, right: PortEvent) -> list[str]:
    """Return a line for each field that makes two events unequal."""
    return [
        f"{name}: {mine!r} != {other!r}"
        for name, mine, other in zip(left._fields, left, right, strict=True)
        if name != "monotonic_ns" and mine != other
    ]


# fixtures


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
    _stand_in.hold(False)  # A test that failed may still hold callbacks: join would hang.
    _stand_in.join()
    try:
        wait_until(lambda: _stand_in.live == 0, "no registration is left behind")
    finally:
        _stand_in.reset()


@pytest.fixture(scope="session", autouse=True)
def _signals_as_usual() -> Iterator[None]:
    """A shell's background job ignores some, and what it starts would do so as well."""
    usual: dict[str, Any] = dict.fromkeys(("SIGTERM", "SIGHUP", "SIGQUIT"), signal.SIG_DFL)
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
    """No registration and no thread outlives a test.

    Only the test that left something behind fails, and not those that come after it.
    """
    threads = set(threading.enumerate())
    registrations = set(_registration._subscriptions)
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith("aioteredo"):
            waiting.join(thread)
    try:
        # A thread may have cancelled a registration, and be about to take it out.
        wait_until(
            lambda: set(_registration._subscriptions) <= registrations,
            "no registration is left behind",
        )
    finally:
        for left in set(_registration._subscriptions) - registrations:
            _registration._subscriptions.pop(left, None)


@pytest.fixture
def unraisable(
    monkeypatch: pytest.MonkeyPatch,
) -> list[sys.UnraisableHookArgs]:
    """What reached :data:`sys.unraisablehook`."""
    seen: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    return seen
