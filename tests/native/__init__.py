"""The stand-in for iphlpapi: built with the platform's compiler, driven from Python.

On Windows it is found as the backend finds it, by the name iphlpapi.dll in System32,
if that has the controls. Elsewhere it is compiled and given as ``library``.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Sequence
from ipaddress import IPv6Address
from pathlib import Path
from threading import Timer
from typing import Any

from aioteredo import IphlpapiBackend

from ..support.waiting import join, limit, start_thread, wait_until

SOURCE = Path(__file__).parents[2] / "benchmarks" / "native" / "teredo_stand_in.c"

INLINE, OTHER_THREAD, ON_DEMAND = range(3)
"""The moments of the initial callback."""

AT_ONCE, PENDING, PENDING_INLINE = range(3)
"""The moments of the stable addresses; the last one is before the function returns."""

PREFERRED = 4
"""The state of an address that can be used (IpDadStatePreferred)."""

FUNCTIONS = [
    "NotifyTeredoPortChange",
    "GetTeredoPort",
    "CancelMibChangeNotify2",
    "NotifyUnicastIpAddressChange",
    "GetUnicastIpAddressTable",
    "NotifyStableUnicastIpAddressTable",
    "FreeMibTable",
]
"""The functions; the number of one is its index, and FreeMibTable never fails."""

_COUNTERS = ("registered", "cancelled", "misused", "called", "allocated", "freed")


class StandIn:
    """Controls of the stand-in; each is described where it is written, in C."""

    def __init__(self, library: str | None) -> None:
        self.library = library
        self._dll: Any
        if sys.platform == "win32":
            self._dll = ctypes.WinDLL("iphlpapi.dll", winmode=0x800)
        else:
            self._dll = ctypes.CDLL(library)
        self._release: Timer | None = None
        self._stuck = False
        for name in _COUNTERS:
            getattr(self._dll, f"stand_in_{name}").restype = ctypes.c_long

    @property
    def backend(self) -> IphlpapiBackend:
        return IphlpapiBackend(self.library)

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._dll, f"stand_in_{name}")
        if name in (*_COUNTERS, "live"):
            return function()
        return function

    def reset(self) -> None:
        """Forget all that an earlier test left."""
        if self._stuck:
            raise RuntimeError("a callback of an earlier test has never returned")
        self._dll.stand_in_reset()

    def hold(self, on: bool) -> None:
        """Keep callbacks in flight, but for no longer than a test may wait.

        A test that fails inside its block closes the watch. Closing waits for the
        callbacks in flight, so without a limit it would never end.
        """
        if self._release is not None:
            self._release.cancel()
            self._release = None
        if on:
            self._release = Timer(limit(), self._dll.stand_in_hold, [False])
            self._release.daemon = True
            self._release.start()
        self._dll.stand_in_hold(on)

    def wait_in_flight(self) -> None:
        """Return once a callback is in flight, with hold on."""
        wait_until(lambda: self._dll.stand_in_in_flight(), "a callback is in flight")

    def join(self) -> None:
        """Wait for the threads of ``start``."""
        try:
            join(start_thread(self._dll.stand_in_join))
        except TimeoutError:
            self._stuck = True
            raise

    def fail(self, function: str, code: int, *, after_the_callback: bool = False) -> None:
        self.set_error(FUNCTIONS.index(function), code, after_the_callback)

    def change(self, *ports: int) -> None:
        """Notify everybody, from a native thread; return when all are notified."""
        for port in ports:
            self.fire(port, 1, 1, False)

    def set_addresses(self, *addresses: str, states: Sequence[int] = ()) -> None:
        """Set all addresses of the machine, without a notification.

        :param states: the DadState of each address; by default, all can be used
        """
        count = len(addresses)
        states = states or [PREFERRED] * count
        packed = b"".join(IPv6Address(address).packed for address in addresses)
        self._dll.stand_in_set_addresses(count, packed, (ctypes.c_int * count)(*states))

    def fire_address(self, address: str | None, notification_type: int = 0) -> None:
        """Notify everybody of a change of *address*, or of no address (NULL)."""
        packed = None if address is None else IPv6Address(address).packed
        self._dll.stand_in_fire_address(packed, notification_type)

    def change_addresses(self, *addresses: str) -> None:
        """Set all addresses of the machine, and notify everybody."""
        self.set_addresses(*addresses)
        self.fire_address(None)

    def fire(
        self, first: int, count: int, threads: int = 1, overlapping: bool = False
    ) -> None:
        self._dll.stand_in_fire(first, count, threads, overlapping)


def build_stand_in(directory: Path) -> Path:
    library = directory / "libteredo_stand_in.so"
    if not library.exists():
        command = "cc -std=gnu11 -O2 -Wall -Wextra -Werror -shared -fPIC -pthread -o"
        subprocess.run([*command.split(), library, SOURCE], check=True)
    return library


def is_installed() -> bool:
    """Return whether System32's iphlpapi.dll is the stand-in, as it is under Wine."""
    if sys.platform != "win32":
        return False
    return hasattr(ctypes.WinDLL("iphlpapi.dll", winmode=0x800), "stand_in_reset")


def load_stand_in(directory: Path) -> tuple[StandIn | None, str | None]:
    """Return the stand-in, or None and the reason why there is none."""
    if sys.platform == "win32":
        if not is_installed():
            return None, "System32's iphlpapi.dll is not the stand-in"
        return StandIn(None), None
    if shutil.which("cc") is None:
        return None, "no C compiler"
    return StandIn(str(build_stand_in(directory))), None
