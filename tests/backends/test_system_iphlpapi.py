"""The system's own iphlpapi.dll, wherever it has the Teredo functions."""

from __future__ import annotations

import sys

import pytest

from aioteredo import (
    BackendUnavailableError,
    IphlpapiBackend,
    NotificationType,
    get_teredo_port,
    watch_teredo_port,
)

from ..support.requirements import require

every_loop = pytest.mark.every_loop


@pytest.fixture
def backend() -> IphlpapiBackend:
    if sys.platform != "win32":
        pytest.skip("needs Windows")
    missing = None
    try:
        backend = IphlpapiBackend()
    except BackendUnavailableError as error:
        missing = str(error)
    require("windows", missing)
    return backend


@every_loop
async def test_watch_begins_with_the_initial_event(backend: IphlpapiBackend) -> None:
    """The first event is the initial one, and its port is valid or None."""
    async with watch_teredo_port(initial=True, backend=backend) as events:
        event = await events.receive()
    assert event.notification_type is NotificationType.INITIAL
    assert event.port is None or 1 <= event.port <= 65535
    port = await get_teredo_port(backend=backend)
    assert port is None or 1 <= port <= 65535


@every_loop
async def test_watch_can_be_opened_and_closed_a_hundred_times(
    backend: IphlpapiBackend,
) -> None:
    """A watch can be opened and closed repeatedly."""
    for _ in range(100):
        async with watch_teredo_port(initial=True, backend=backend) as events:
            await events.receive()
