"""Long-lived threads keep no context variable of the request that started them."""

from __future__ import annotations

import sys

import pytest

from aioteredo import BackendUnavailableError, MiredoBackend

from ..support.python import output_of
from ..support.requirements import require

CODE = """
import contextvars, gc, weakref
from aioteredo import MiredoBackend, SimulatedBackend

class Request:
    pass

class Sink:
    def push(self, port, notification_type):
        pass

    def fail(self, error):
        pass

request = contextvars.ContextVar("request")

def handle(backend):
    value = Request()
    request.set(value)
    return weakref.ref(value), backend.subscribe(Sink(), initial=False)

reference, subscription = contextvars.Context().run(handle, %s)
gc.collect()
print(reference() is None)
subscription.cancel()
"""

MODES = [
    pytest.param([], id="default"),
    pytest.param(
        ["-X", "thread_inherit_context=1"],
        id="inherited",
        marks=pytest.mark.skipif(
            not hasattr(sys.flags, "thread_inherit_context"),
            reason="threads of this Python start with an empty context",
        ),
    ),
]


def request_is_freed(options: list[str], backend: str) -> bool:
    """Return whether the request is freed while the subscription that it made is alive."""
    return output_of(CODE % backend, options=options) == "True\n"


@pytest.mark.parametrize("options", MODES)
def test_simulated_thread_keeps_no_context_of_the_first_watcher(options: list[str]) -> None:
    """The notifying thread starts with an empty context, even if threads inherit one."""
    assert request_is_freed(options, "SimulatedBackend()")


@pytest.mark.skipif(sys.platform != "linux", reason="Miredo needs Linux")
@pytest.mark.parametrize("options", MODES)
def test_miredo_thread_keeps_no_context_of_the_watcher(options: list[str]) -> None:
    """A subscription's thread starts with an empty context, even if threads inherit one."""
    try:
        MiredoBackend(uid=54_321).get_port()
    except BackendUnavailableError as error:
        require("miredo", str(error))
    assert request_is_freed(options, "MiredoBackend(uid=54_321)")
