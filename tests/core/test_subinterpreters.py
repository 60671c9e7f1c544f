"""Subinterpreters: the isolated ones of PEP 734, and the legacy ones that mod_wsgi makes.

A legacy subinterpreter shares the GIL with the main interpreter and allows daemon threads.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import pytest

from aioteredo import BackendUnavailableError, IphlpapiBackend, MiredoBackend

from ..native import StandIn
from ..support.python import ROOT, output_of
from ..support.requirements import require

RUN = """
import os, sys, time

try:
    import _interpreters
except ImportError:
    import _xxsubinterpreters as _interpreters

kind, code = sys.argv[1:]
if sys.version_info < (3, 13):
    interpreter = _interpreters.create(isolated=kind == "isolated")
else:
    interpreter = _interpreters.create(kind)
failure = _interpreters.run_string(interpreter, code)
assert failure is None, failure

# The subinterpreter has joined its threads, but a joined thread may still run code of
# CPython. Destroying the interpreter then would abort the process.
while sys.platform == "linux" and len(os.listdir("/proc/self/task")) > 1:
    time.sleep(0.001)
_interpreters.destroy(interpreter)
print("destroyed")
"""

PREAMBLE = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from aioteredo import BackendUnavailableError, _selection

# sys.stdout of the subinterpreter would lose its buffer if the process aborts.
def say(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\\n")

class Sink:
    def push(self, port, notification_type):
        say("pushed", port)

    def fail(self, error):
        say("failed", error)

def attempt(use):
    try:
        use()
    except BackendUnavailableError as error:
        say("unavailable:", error)

def watch(backend):
    subscription = backend.subscribe(Sink(), initial=True)
    say("subscribed")
    subscription.cancel()
"""

KINDS = ("isolated", "legacy")


def run_in_subinterpreter(kind: str, code: str) -> list[str]:
    """Run *code* in a subinterpreter of that kind, and return the lines that it writes."""
    *lines, last = output_of(RUN, kind, PREAMBLE + code).splitlines()
    assert last == "destroyed"
    return lines


@pytest.fixture
def miredo() -> str:
    """An expression for the backend, on a machine where it works."""
    if sys.platform != "linux":
        pytest.skip("Miredo needs Linux")
    try:
        MiredoBackend(uid=54_321).get_port()
    except BackendUnavailableError as error:
        require("miredo", str(error))

    return "__import__('aioteredo').MiredoBackend(uid=54_321)"


def ask_for_port(kind: str, backend: str) -> list[str]:
    return run_in_subinterpreter(kind, f"attempt(lambda: say(({backend}).get_port()))")


def watch_in_subinterpreter(kind: str, backend: str) -> list[str]:
    return run_in_subinterpreter(
        kind, f"backend = {backend}\nattempt(lambda: watch(backend))"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_iphlpapi_in_a_subinterpreter_is_unavailable(stand_in: StandIn, kind: str) -> None:
    """Its first callback would abort the process, so the constructor raises."""
    code = """
def use():
    from aioteredo import IphlpapiBackend
    watch(IphlpapiBackend(%r))
try:
    import ctypes
except ImportError:
    say("no ctypes")
else:
    attempt(use)
attempt(lambda: _selection.resolve("iphlpapi"))
"""
    first, second = run_in_subinterpreter(kind, code % stand_in.library)
    if first != "no ctypes":
        assert first.startswith("unavailable: the iphlpapi backend cannot work in a sub")
        assert "main interpreter" in first

    assert second.startswith("unavailable: ")


@pytest.mark.parametrize("kind", KINDS)
def test_simulated_in_a_subinterpreter_can_be_asked_for_its_port(kind: str) -> None:
    """Asking for the port needs no thread."""
    (port,) = ask_for_port(kind, "_selection.resolve('simulated')")
    assert int(port) in range(49152, 65536)


def test_simulated_in_a_legacy_subinterpreter_can_be_watched() -> None:
    """A legacy subinterpreter allows daemon threads."""
    backend = "__import__('aioteredo').SimulatedBackend(1000)"
    assert watch_in_subinterpreter("legacy", backend) == ["pushed 1000", "subscribed"]


def test_simulated_in_an_isolated_subinterpreter_cannot_be_watched() -> None:
    """The error says that daemon threads are not allowed, and nothing is registered."""
    backend = "__import__('aioteredo').SimulatedBackend(1000)"
    (line,) = watch_in_subinterpreter("isolated", backend)
    assert line.startswith("unavailable: ")
    assert "thread" in line
    assert "main interpreter" in line


@pytest.mark.parametrize("kind", KINDS)
def test_miredo_in_a_subinterpreter_can_be_asked_for_its_port(
    miredo: str, kind: str
) -> None:
    """Asking for the port needs no thread."""
    assert ask_for_port(kind, miredo) == ["None"]


def test_miredo_in_a_legacy_subinterpreter_can_be_watched(miredo: str) -> None:
    """A legacy subinterpreter allows daemon threads."""
    assert watch_in_subinterpreter("legacy", miredo) == ["pushed None", "subscribed"]


def test_miredo_in_an_isolated_subinterpreter_cannot_be_watched(miredo: str) -> None:
    """The error says that daemon threads are not allowed, and the sockets are closed."""
    code = f"""
backend = {miredo}
before = os.listdir("/proc/self/fd")
attempt(lambda: watch(backend))
say(os.listdir("/proc/self/fd") == before)
"""
    *pushed, unavailable, closed = run_in_subinterpreter("isolated", code)

    assert pushed in ([], ["pushed None"])
    assert unavailable.startswith("unavailable: ")
    assert "thread" in unavailable
    assert "main interpreter" in unavailable
    assert closed == "True"


@pytest.mark.skipif(
    sys.platform == "win32",
    reason="asyncio's Proactor loop on Windows works in the main interpreter only",
)
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            "isolated",
            marks=pytest.mark.skipif(
                sys.version_info[:2] == (3, 12),
                reason="CPython 3.12 aborts after asyncio ran in an isolated interpreter",
            ),
        ),
        "legacy",
    ],
)
def test_watch_in_a_subinterpreter_works_or_is_unavailable(kind: str) -> None:
    """Through an event loop, a watch yields an event or raises the same error."""
    code = """
import asyncio
from aioteredo import SimulatedBackend, watch_teredo_port

async def main():
    async with watch_teredo_port(initial=True, backend=SimulatedBackend(1)) as events:
        say("event", (await events.receive()).port)

attempt(lambda: asyncio.run(main()))
"""
    (line,) = run_in_subinterpreter(kind, code)
    if kind == "legacy":
        assert line == "event 1"
    else:
        assert line.startswith("unavailable: ")


def test_iphlpapi_compares_its_interpreter_with_the_main_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The constructor raises if the states of the two interpreters differ."""

    def prototype(*_: object) -> Callable[[tuple[str, object]], Callable[[], str]]:
        return lambda function: lambda: function[0]

    monkeypatch.setattr(ctypes, "PYFUNCTYPE", prototype)
    with pytest.raises(BackendUnavailableError, match="cannot work in a subinterpreter"):
        IphlpapiBackend("any library")
