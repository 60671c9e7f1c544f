"""Runs coroutine tests on each event loop and under a limit, and checks for leftovers.

A coroutine test is marked ``every_loop`` or ``asyncio_loops``, and becomes one test for
each of these loops. ``support/loops.py`` and ``support/waiting.py`` do the work.
"""

from __future__ import annotations

import faulthandler
import gc
import inspect
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import settings, strategies

from aioteredo import AddressEvent, PortEvent, _registration

from .native import StandIn, load_stand_in
from .support import loops, waiting
from .support.kinds import KINDS, Kind
from .support.requirements import require
from .support.running import RunningCommand, scripted_command
from .support.runs import Runs
from .support.waiting import wait_until

pytest_plugins = ["pytester"]


# the event loops


@pytest.fixture(autouse=True)
def loop_name(request: pytest.FixtureRequest) -> str | None:
    """The name of the event loop for a coroutine test; None for any other test."""
    name: str | None = getattr(request, "param", None)
    return name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each event loop that the marker of a coroutine test asks for."""
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

    # A test that ignores the cancellation at its limit has a little more time, so that
    # the error tells the two cases apart.
    loops.run(loop_name, main, 1.2 * seconds)
    return True


# the limits


def limit_of(item: pytest.Item) -> float:
    """Return the number of seconds that a coroutine test may take.

    A test whose marker ``timeout`` doubles the usual timeout also doubles its limit here.
    """
    usual = float(item.config.getini("timeout"))
    marker = item.get_closest_marker("timeout")
    timeout: float = usual if marker is None else marker.args[0]
    return waiting.limit() * max(timeout, usual) / usual


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Shorten pytest-timeout's limit as well, after a test has reached its limit.

    pytest-timeout ends the tests that no cancellation can end. The product shields its
    threads from cancellation, so a broken product may cause hundreds of such tests.
    """
    if waiting.is_limit_short() and item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(15))
    return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Switch off ``faulthandler_timeout`` for a test that may take longer than it.

    ``faulthandler_timeout`` is one number for all tests, and ends the whole run: a soak
    test would reach it. pytest-timeout still limits the test.
    """
    marker = item.get_closest_marker("timeout")
    last_resort = float(item.config.getini("faulthandler_timeout"))
    if marker is not None and marker.args[0] >= last_resort:
        faulthandler.cancel_dump_traceback_later()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Shorten the limit for the rest of the run when a test has reached it."""
    if report.failed and report.duration >= waiting.LIMIT:
        waiting.shorten_limit(report.nodeid)


def pytest_unconfigure() -> None:
    """End the interpreter if it waits at its exit for a thread that hangs.

    The threads of the product are not daemons, so the interpreter joins them, and nothing
    else limits this wait. pytest has printed its summary by then.
    """
    faulthandler.dump_traceback_later(waiting.LIMIT, exit=True)


# the collector


def pytest_collection_finish() -> None:
    """Exempt all modules and tests from the garbage collection after each test.

    Otherwise the collector would traverse all of them after each test, which is slow.
    """
    # In its first call, Hypothesis makes a generator of random numbers, and asks the
    # collector once whether an object refers to it. If that object were frozen by then, the
    # collector would not report it, and Hypothesis would warn.
    hypothesis.find(strategies.none(), lambda _: True, settings=settings(database=None))

    gc.collect()
    gc.freeze()


# the messages of failed assertions


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Name the fields in which two events, or two lists of events, differ.

    pytest would also name ``monotonic_ns``, which does not count for equality.
    """
    if op != "==":
        return None

    if are_events(left, right):
        return [f"{left!r} == {right!r}", *differing_fields(left, right)]

    if not (isinstance(left, list) and isinstance(right, list)):
        return None
    if not are_events(*left, *right):
        return None

    lines = [f"{left!r} == {right!r}"]
    if len(left) != len(right):
        lines.append(f"{len(left)} events, not {len(right)}")
    for index, pair in enumerate(zip(left, right, strict=False)):
        lines += [f"[{index}].{line}" for line in differing_fields(*pair)]
    return lines


def are_events(*objects: object) -> bool:
    """Return whether all of the objects are events of one kind."""
    kinds = {type(each) for each in objects}
    return len(kinds) == 1 and kinds <= {PortEvent, AddressEvent}


def differing_fields(left: Any, right: Any) -> list[str]:
    """Return a line for each field that makes two events unequal."""
    return [
        f"{name}: {left_value!r} != {right_value!r}"
        for name, left_value, right_value in zip(left._fields, left, right, strict=True)
        if name != "monotonic_ns" and left_value != right_value
    ]


# fixtures


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """The port, and in a second test the addresses: the kind of values that is watched."""
    return KINDS[request.param]


@pytest.fixture(scope="session")
def _stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """The library of ``stand_in``, which is compiled once for all tests."""
    stand_in, missing = load_stand_in(tmp_path_factory.getbasetemp())
    require("native", missing)
    assert stand_in is not None
    return stand_in


@pytest.fixture
def stand_in(_stand_in: StandIn) -> Iterator[StandIn]:
    """A library with the exports of iphlpapi.dll, whose native threads a test controls."""
    _stand_in.reset()
    yield _stand_in

    _stand_in.hold(False)  # A failed test may still hold callbacks, and join() would hang.
    _stand_in.join()
    try:
        wait_until(lambda: _stand_in.live == 0, "no registration is left behind")
        assert _stand_in.freed == _stand_in.allocated, "a table is freed exactly once"
    finally:
        _stand_in.reset()


@pytest.fixture(scope="session", autouse=True)
def _default_signal_handlers() -> Iterator[None]:
    """Signal handlers as in an interactive shell, even if the tests run in the background.

    A shell lets its background jobs ignore some signals. The processes that the tests
    start would inherit this, and no signal of a test could end them.
    """
    defaults: dict[str, Any] = {
        "SIGINT": signal.default_int_handler,
        "SIGTERM": signal.SIG_DFL,
        "SIGHUP": signal.SIG_DFL,
        "SIGQUIT": signal.SIG_DFL,
    }
    ignored: list[int] = []
    for name, handler in defaults.items():
        number = getattr(signal, name, None)  # Windows has no SIGHUP and no SIGQUIT.
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            ignored.append(number)
            signal.signal(number, handler)
    yield

    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningCommand]:
    """A process of the command line, whose simulated Teredo client the test controls."""
    with scripted_command(tmp_path) as running:
        yield running


@pytest.fixture
def runs() -> Iterator[Runs]:
    """A CMD for ``exec`` that records its runs, and runs until the test ends it."""
    with Runs() as runs:
        yield runs


def is_not_listed(thread: threading.Thread) -> bool:
    return thread not in threading.enumerate()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """A check that no registration and no thread outlives the test.

    It fails only the test that left something behind, and cleans up for the next tests.
    """
    threads = set(threading.enumerate())
    registrations = set(_registration._subscriptions)
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith("aioteredo"):
            # Not by join(). While another thread is still in start(), the new thread is
            # listed already, but join() raises RuntimeError.
            wait_until(partial(is_not_listed, thread), f"the end of {thread.name}")
    try:
        # A thread that has cancelled a registration may be about to remove it from the
        # table, so the table is checked repeatedly.
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
    """The arguments of each call of :data:`sys.unraisablehook` during the test."""
    calls: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", calls.append)
    return calls
