"""The Windows backend: the ctypes code with real native threads."""

from __future__ import annotations

import _ctypes
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aioteredo import (
    BackendError,
    BackendUnavailableError,
    IphlpapiBackend,
    NotificationType,
    PortEvent,
    get_teredo_port,
    watch_teredo_port,
)
from aioteredo.backends.iphlpapi import _subscription as _iphlpapi_subscription

from ..native import FUNCTIONS, INLINE, StandIn
from ..support.python import run_python
from ..support.sinks import RecordingSink

every_loop = pytest.mark.every_loop


@pytest.mark.parametrize("code", [6, 8, 87, 50])
@pytest.mark.parametrize("after_the_callback", [False, True])
@every_loop
async def test_failure_of_notify_is_raised(
    stand_in: StandIn, code: int, after_the_callback: bool
) -> None:
    """An error of NotifyTeredoPortChange is raised, and nothing is cancelled."""
    stand_in.fail("NotifyTeredoPortChange", code, after_the_callback=after_the_callback)
    with pytest.raises(BackendError, match="^NotifyTeredoPortChange: .*ERROR_") as e:
        async with watch_teredo_port(initial=True, backend=stand_in.backend):
            pytest.fail("entered")
    assert e.value.code == code
    assert stand_in.cancelled == 0
    assert not _iphlpapi_subscription._subscriptions


@every_loop
async def test_success_without_a_handle_is_an_error(stand_in: StandIn) -> None:
    """BackendError is raised, and a NULL handle is not cancelled."""
    stand_in.set_null_handle(True)
    with pytest.raises(BackendError, match="ERROR_INVALID_HANDLE"):
        async with watch_teredo_port(backend=stand_in.backend):
            pytest.fail("entered")
    assert stand_in.cancelled == 0
    stand_in.reset()


@pytest.mark.parametrize("code", [87, 31, 0x2FFF_FFFF])
@every_loop
async def test_failure_of_get_is_raised(stand_in: StandIn, code: int) -> None:
    """An error of GetTeredoPort is raised with its code."""
    stand_in.fail("GetTeredoPort", code)
    with pytest.raises(BackendError, match="^GetTeredoPort: ") as raised:
        await get_teredo_port(backend=stand_in.backend)
    assert raised.value.winerror == code


@pytest.mark.parametrize("code", [21, 1168])
@every_loop
async def test_client_that_is_not_started_has_no_port(stand_in: StandIn, code: int) -> None:
    """ERROR_NOT_READY and ERROR_NOT_FOUND mean no port, and are not errors."""
    stand_in.fail("GetTeredoPort", code)
    assert await get_teredo_port(backend=stand_in.backend) is None
    async with watch_teredo_port(initial=True, backend=stand_in.backend) as events:
        assert await events.receive() == PortEvent(None, NotificationType.INITIAL)


@every_loop
async def test_port_zero_is_none(stand_in: StandIn) -> None:
    """Port 0 of the system means no port."""
    assert await get_teredo_port(backend=stand_in.backend) is None


@every_loop
async def test_system_without_ipv6_is_unavailable(stand_in: StandIn) -> None:
    """ERROR_NOT_SUPPORTED makes the backend unavailable, and the error names the remedy."""
    stand_in.fail("GetTeredoPort", 50)
    with pytest.raises(BackendUnavailableError, match="enable IPv6"):
        await get_teredo_port(backend=stand_in.backend)
    with pytest.raises(BackendUnavailableError, match="enable IPv6"):
        async with watch_teredo_port(initial=True, backend=stand_in.backend):
            pytest.fail("entered")
    assert (stand_in.registered, stand_in.cancelled) == (1, 1)


@every_loop
async def test_callbacks_after_a_refused_cancel_are_ignored(stand_in: StandIn) -> None:
    """If the system refuses to cancel, BackendError is raised, and callbacks do nothing."""
    with pytest.raises(BackendError, match="^CancelMibChangeNotify2: .*87"):
        async with watch_teredo_port(backend=stand_in.backend):
            stand_in.fail("CancelMibChangeNotify2", 87)
    stand_in.change(1, 2, 3)  # the system still calls, for a subscription that is gone
    assert (stand_in.called, stand_in.cancelled) == (3, 1)
    stand_in.reset()


@every_loop
async def test_failure_to_cancel_is_a_note_on_the_failure_to_start(
    stand_in: StandIn,
) -> None:
    """The failure to start is raised, with the failure to cancel as its note."""
    stand_in.fail("GetTeredoPort", 31)
    stand_in.fail("CancelMibChangeNotify2", 87)
    with pytest.raises(BackendError, match="^GetTeredoPort") as raised:
        async with watch_teredo_port(initial=True, backend=stand_in.backend):
            pytest.fail("entered")
    assert "CancelMibChangeNotify2" in raised.value.__notes__[0]
    stand_in.reset()


def test_callback_ignores_a_second_initial_and_unknown_tokens(stand_in: StandIn) -> None:
    """Only the first initial callback and the changes of this subscription are pushed."""
    sink = RecordingSink()
    stand_in.set_initial(INLINE)
    stand_in.set_port(7)
    subscription = stand_in.backend.subscribe(sink, initial=True)
    token = subscription._token
    _iphlpapi_subscription.on_notification(token, 5, 0)
    _iphlpapi_subscription.on_notification(token, 0, 0)
    _iphlpapi_subscription.on_notification(token, 0, 3)
    _iphlpapi_subscription.on_notification(token + 1, 5, 0)
    subscription.cancel()
    _iphlpapi_subscription.on_notification(token, 6, 0)
    subscription.notify(6, 0)  # it had found its subscription already
    assert sink.pushed == [(7, 3), (5, 0), (None, 0)]
    assert not sink.failed


def test_sink_that_raises_fails_once(stand_in: StandIn) -> None:
    """The sink fails with the exception as the cause, and gets nothing more."""

    class Broken(RecordingSink):
        def push(self, value: object, notification_type: int) -> None:
            super().push(value, notification_type)
            raise ZeroDivisionError

    sink = Broken()
    subscription = stand_in.backend.subscribe(sink, initial=False)
    subscription.notify(5, 0)
    subscription.notify(6, 0)
    subscription._fail(ZeroDivisionError())
    subscription.cancel()
    assert sink.pushed == [(5, 0)]
    assert [type(e.__cause__) for e in sink.failed] == [ZeroDivisionError]


def test_library_that_does_not_exist_is_unavailable(tmp_path: Path) -> None:
    """The error names the library."""
    with pytest.raises(BackendUnavailableError, match=r"cannot load .*nothing\.so"):
        IphlpapiBackend(tmp_path / "nothing.so")


def test_library_that_is_not_a_path_is_refused() -> None:
    """A library that is not a path raises TypeError."""
    with pytest.raises(TypeError):
        IphlpapiBackend(3)  # type: ignore[arg-type]


def test_library_without_the_functions_is_unavailable() -> None:
    """The error names the function that the library lacks."""
    other = "kernel32.dll" if sys.platform == "win32" else _ctypes.__file__
    with pytest.raises(BackendUnavailableError, match="lacks NotifyTeredoPortChange"):
        IphlpapiBackend(other)


CALLS: dict[str, Callable[[IphlpapiBackend], object]] = {
    "get": lambda backend: backend.get_addresses(),
    "watch": lambda backend: backend.subscribe_addresses(RecordingSink(), initial=False),
    "wait": lambda backend: backend.subscribe_stable_addresses(RecordingSink()),
}


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize(
    ("missing", "calls"),
    [
        ("GetUnicastIpAddressTable", ["get", "watch", "wait"]),
        ("FreeMibTable", ["get", "watch", "wait"]),
        ("NotifyUnicastIpAddressChange", ["watch"]),
        ("NotifyStableUnicastIpAddressTable", ["wait"]),
    ],
)
def test_library_without_a_function_for_addresses_still_reports_the_port(
    tmp_path: Path, missing: str, calls: list[str]
) -> None:
    """A call that needs the function raises an error that names the function."""
    library = tmp_path / "library.so"
    source = "".join(f"int {name}(void) {{ return 0; }}\n" for name in FUNCTIONS)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-xc", "-", "-o", library],
        input=source.replace(missing, f"not_{missing}"),
        text=True,
        check=True,
    )
    backend = IphlpapiBackend(library)
    assert backend.get_port() is None
    for call in calls:
        with pytest.raises(
            BackendUnavailableError, match=f"lacks {missing}, a function of"
        ):
            CALLS[call](backend)


@pytest.mark.skipif(sys.platform != "win32", reason="needs Windows")
def test_library_is_loaded_from_system32_only(tmp_path: Path) -> None:
    """An iphlpapi.dll in the current directory is not loaded."""
    (tmp_path / "iphlpapi.dll").write_bytes(b"MZ not a library")
    code = "from aioteredo import *; IphlpapiBackend(); print('loaded')"
    result = run_python(code, cwd=tmp_path)
    assert result.stdout == "loaded\n" or "lacks NotifyTeredoPortChange" in result.stderr
