"""The system's own iphlpapi.dll, wherever it has the Teredo functions.

On the Windows machines of GitHub, this is Microsoft's DLL. They run Windows Server, where
the Teredo client is off by default, so these tests expect neither a port nor an address.
They give the loopback interface an address in 2001::/32, which the backend takes for one
of Teredo.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import anyio
import pytest

from aioteredo import (
    BackendUnavailableError,
    IphlpapiBackend,
    NotificationType,
    TeredoAddress,
    get_teredo_addresses,
    get_teredo_port,
    watch_teredo_addresses,
    watch_teredo_port,
)
from aioteredo.backends.iphlpapi._addresses import AddressTable
from aioteredo.backends.iphlpapi._library import Library
from aioteredo.backends.iphlpapi._tables import TablePointer, rows

from ..native import PREFERRED, is_installed
from ..support.requirements import require

every_loop = pytest.mark.every_loop

ADDRESS = TeredoAddress("2001:0:c633:6401::34ff:8ef8")
LOOPBACK_INTERFACE = 1


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


@every_loop
async def test_watch_for_addresses_begins_with_the_present_ones(
    backend: IphlpapiBackend,
) -> None:
    """The first event is the initial one, and has the addresses of the table."""
    for _ in range(100):
        async with watch_teredo_addresses(initial=True, backend=backend) as events:
            event = await events.receive()
    assert event.notification_type is NotificationType.INITIAL
    assert event.addresses == await get_teredo_addresses(backend=backend)


@every_loop
async def test_wait_for_stable_addresses_ends_or_can_be_cancelled(
    backend: IphlpapiBackend,
) -> None:
    """Without a Teredo client, the system answers at once; any other wait is cancelled."""
    for _ in range(100):
        with anyio.move_on_after(0.1):
            await get_teredo_addresses(wait_until_stable=True, backend=backend)


def can_bind_to_the_loopback_address() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
            bound.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_real_table_contains_the_loopback_address() -> None:
    """The structures fit the table of Windows, or that of Wine under the stand-in."""
    if sys.platform != "win32":
        pytest.skip("needs Windows")
    if not can_bind_to_the_loopback_address():
        pytest.skip("this machine has no IPv6")

    library = Library("iphlporg.dll" if is_installed() else None)
    functions = AddressTable(library)
    table = TablePointer()
    assert functions._get(23, table) == 0
    found = {bytes(row.Address.sin6_addr): row.DadState for row in rows(table)}
    functions.free(table)

    assert found[socket.inet_pton(socket.AF_INET6, "::1")] == PREFERRED
    assert isinstance(functions.read(), tuple)


@pytest.fixture
def loopback(backend: IphlpapiBackend) -> Iterator[Callable[[str], None]]:
    """A function that adds or deletes an address of the loopback interface by netsh."""
    if is_installed():
        pytest.skip("needs Microsoft's iphlpapi.dll")

    def run_netsh(verb: str) -> str:
        """Return an empty string, or the reason why netsh has failed."""
        command = ["netsh", "interface", "ipv6", verb, "address"]
        command += [f"interface={LOOPBACK_INTERFACE}", f"address={ADDRESS}"]
        result = subprocess.run([*command, "store=active"], capture_output=True, text=True)
        return result.stdout.strip() or "netsh failed" if result.returncode else ""

    def change(verb: str) -> None:
        reason = run_netsh(verb)
        if reason:
            pytest.skip(f"netsh needs an administrator: {reason}")

    yield change
    run_netsh("delete")


@every_loop
async def test_real_change_of_a_teredo_address_is_received(
    backend: IphlpapiBackend, loopback: Callable[[str], None]
) -> None:
    """Microsoft's DLL notifies of a new address, and of its end."""
    async with watch_teredo_addresses(backend=backend) as events:
        loopback("add")
        assert ADDRESS in (await events.receive()).addresses
        for stable in (False, True):
            found = await get_teredo_addresses(wait_until_stable=stable, backend=backend)
            assert ADDRESS in found

        loopback("delete")
        assert ADDRESS not in (await events.receive()).addresses
