"""Subinterpreters: the isolated ones of PEP 734, and the legacy ones that mod_wsgi makes.

The latter share the GIL with the main interpreter and allow daemon threads.
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

# The interpreter joins its threads, but a thread that was joined still has a few steps of
# CPython's own to go. CPython aborts the process if it finds one there.
while sys.platform == "linux" and len(os.listdir("/proc/self/task")) > 1:
    time.sleep(0.001)
_interpreters.destroy(interpreter)
print("destroyed")
"""

PREAMBLE = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from aioteredo import BackendUnavailableError, _selection

def say(*words):  # an interpreter's own standard output is lost if the process aborts
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


def run(kind: str, code: str) -> list[str]:
    """Run *code* in a subinterpreter of that kind, and return the lines that it writes."""
    *lines, last = output_of(RUN, kind, PREAMBLE + code).splitlines()
    assert last == "destroyed"
    return lines


@pytest.fixture
def miredo() -> str:
    """An expression for the backend, on a machine where it works."""
    if sys.platform != "linux":
        pytest.skip("Miredo is Linux'")
    try:
        MiredoBackend(uid=54_321).get_port()
    except BackendUnavailableError as error:
        require("miredo", str(error))
    return "__import__('aioteredo').MiredoBackend(uid=54_321)"


def asked(kind: str, backend: str) -> list[str]:
    return run(kind, f"attempt(lambda: say(({backend}).get_port()))")


def watched(kind: str, backend: str) -> list[str]:
    return run(kind, f"backend = {backend}\nattempt(lambda: watch(backend))")


@pytest.mark.parametrize("kind", KINDS)
def test_iphlpapi_in_a_subinterpreter_is_unavailable(stand_in: StandIn, kind: str) -> None:
    """Its first callback would abort the process; the constructor says why."""
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
    first, second = run(kind, code % stand_in.library)
    if first != "no ctypes":
        assert first.startswith("unavailable: the iphlpapi backend cannot work in a sub")
        assert "main interpreter" in first
    assert second.startswith("unavailable: ")


@pytest.mark.parametrize("kind", KINDS)
def test_simulated_in_a_subinterpreter_can_be_asked_for_its_port(kind: str) -> None:
    """The question needs no thread."""
    (port,) = asked(kind, "_selection.resolve('simulated')")
    assert int(port) in range(49152, 65536)


def test_simulated_in_a_legacy_subinterpreter_can_be_watched() -> None:
    """Daemon threads are allowed there."""
    backend = "__import__('aioteredo').SimulatedBackend(1000)"
    assert watched("legacy", backend) == ["pushed 1000", "subscribed"]


def test_simulated_in_an_isolated_subinterpreter_cannot_be_watched() -> None:
    """The error says that threads are the reason, and nothing is registered."""
    backend = "__import__('aioteredo').SimulatedBackend(1000)"
    (line,) = watched("isolated", backend)
    assert line.startswith("unavailable: ")
    assert "thread" in line
    assert "main interpreter" in line


@pytest.mark.parametrize("kind", KINDS)
def test_miredo_in_a_subinterpreter_can_be_asked_for_its_port(
    miredo: str, kind: str
) -> None:
    """The question needs no thread."""
    assert asked(kind, miredo) == ["None"]


def test_miredo_in_a_legacy_subinterpreter_can_be_watched(miredo: str) -> None:
    """Daemon threads are allowed there."""
    assert watched("legacy", miredo) == ["pushed None", "subscribed"]


def test_miredo_in_an_isolated_subinterpreter_cannot_be_watched(miredo: str) -> None:
    """The error says that threads are the reason; the sockets are closed."""
    code = f"""
backend = {miredo}
before = os.listdir("/proc/self/fd")
attempt(lambda: watch(backend))
say(os.listdir("/proc/self/fd") == before)
"""
    *pushed, unavailable, closed = run("isolated", code)
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
    """Through an event loop the same holds: an event, or an error that says why."""
    code = """
import asyncio
from aioteredo import SimulatedBackend, watch_teredo_port

async def main():
    async with watch_teredo_port(initial=True, backend=SimulatedBackend(1)) as events:
        say("event", (await events.receive()).port)

attempt(lambda: asyncio.run(main()))
"""
    (line,) = run(kind, code)
    if kind == "legacy":
        assert line == "event 1"
    else:
        assert line.startswith("unavailable: ")


def test_iphlpapi_outside_of_the_main_interpreter_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The constructor compares the states of the two interpreters."""

    def prototype(*_: object) -> Callable[[tuple[str, object]], Callable[[], str]]:
        return lambda function: lambda: function[0]

    monkeypatch.setattr(ctypes, "PYFUNCTYPE", prototype)
    with pytest.raises(BackendUnavailableError, match="cannot work in a subinterpreter"):
        IphlpapiBackend("any library")
