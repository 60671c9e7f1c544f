"""Every built-in backend keeps the contract, and so does its shared form."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import pytest

from aioteredo import Backend, BackendError, SimulatedBackend, TeredoAddress, share
from aioteredo.testing import BackendContract, Driver

from ..native import AT_ONCE, INLINE, ON_DEMAND, OTHER_THREAD, PENDING, StandIn

ERROR = BackendError("NotifyTeredoPortChange", 8)


class Form:
    """The form of a backend that is tested: the backend itself, or its shared form."""

    form: Callable[[Backend], Backend] = staticmethod(lambda backend: backend)


class SharedForm(Form):
    form = staticmethod(share)


class TestSimulatedBackend(Form, BackendContract):
    @pytest.fixture
    def driver(self) -> Iterator[Driver]:
        def refuse(on: bool) -> None:
            if on:
                client.fail_next_subscribe(ERROR)

        def change_addresses(addresses: tuple[TeredoAddress, ...]) -> None:
            client.set_addresses(*addresses)

        def delay_stable(on: bool) -> None:
            client.set_addresses(*client.get_addresses(), stable=not on)

        with SimulatedBackend() as client:
            yield Driver(
                self.form(client),
                client.set_port,
                refuse,
                lambda: client.fail(ERROR),
                change_addresses,
                delay_stable,
            )


class TestSharedSimulatedBackend(SharedForm, TestSimulatedBackend):
    """The shared form keeps the same rules."""


class TestIphlpapiBackend(Form, BackendContract):
    """A callback brings its port with it, so no subscription for ports can fail later."""

    @pytest.fixture(params=[INLINE, OTHER_THREAD, ON_DEMAND])
    def initial_mode(self, request: pytest.FixtureRequest) -> int:
        return int(request.param)

    @pytest.fixture
    def driver(self, stand_in: StandIn, initial_mode: int) -> Driver:
        def change(port: int | None) -> None:
            stand_in.fire(port or 0, 1, threads=1, overlapping=True)

        def refuse(on: bool) -> None:
            for function in (
                "NotifyTeredoPortChange",
                "NotifyUnicastIpAddressChange",
                "NotifyStableUnicastIpAddressTable",
            ):
                stand_in.fail(function, 8 * on, after_the_callback=True)

        def change_addresses(addresses: tuple[TeredoAddress, ...]) -> None:
            stand_in.change_addresses(*map(str, addresses))

        def delay_stable(on: bool) -> None:
            stand_in.set_stable(PENDING if on else AT_ONCE)
            stand_in.fire_stable()

        stand_in.set_initial(initial_mode)
        return Driver(
            self.form(stand_in.backend),
            change,
            refuse,
            change_addresses=change_addresses,
            delay_stable=delay_stable,
        )


class TestSharedIphlpapiBackend(SharedForm, TestIphlpapiBackend):
    """The shared form keeps the same rules."""


if sys.platform == "linux":
    import errno
    import threading

    from aioteredo import MiredoBackend
    from aioteredo.backends.miredo import _addresses as _miredo_addresses
    from aioteredo.backends.miredo import _ports as _miredo_ports
    from aioteredo.backends.miredo import _subscription as _miredo_subscription
    from aioteredo.backends.miredo._inet_diag import CloseListener
    from aioteredo.backends.miredo._listener import Listener

    from ..support.addresses import (
        SECOND,
        add,
        add_with_detection,
        cable,
        remove,
        tunnel_with,
    )
    from ..support.miredo import UID, bound, source_of, tunnel

    class TestMiredoBackend(Form, BackendContract):
        @pytest.fixture
        def driver(self, netns: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
            client = contextlib.ExitStack()

            def change(port: int | None) -> None:
                client.close()
                if port is not None:
                    with tunnel("tun1"):
                        client.enter_context(bound(port))

            def change_addresses(addresses: tuple[TeredoAddress, ...]) -> None:
                with changing:
                    present = set(backend.get_addresses())
                    for address in present - set(addresses):
                        remove(address)
                    for address in set(addresses) - present:
                        add(address)

            def delay_stable(on: bool) -> None:
                if on:
                    cable()
                    add_with_detection(SECOND)
                else:
                    remove(SECOND, "one")

            def refuse(on: bool) -> None:
                for module, listener in (
                    (_miredo_ports, CloseListener),
                    (_miredo_addresses, Listener),
                ):
                    replacement = refused if on else listener
                    monkeypatch.setattr(module, listener.__name__, replacement)

            def refused(*_arguments: object) -> None:
                raise BackendError("socket(AF_NETLINK)", errno.EMFILE, "errno")

            def fail() -> None:
                for subscription in _miredo_subscription._subscriptions:
                    source_of(subscription)._table.close()
                change(None)
                add(SECOND)

            backend = MiredoBackend(uid=UID)
            changing = threading.Lock()
            with client, tunnel_with():
                yield Driver(
                    self.form(backend),
                    change,
                    refuse,
                    fail,
                    change_addresses,
                    delay_stable,
                )

    class TestSharedMiredoBackend(SharedForm, TestMiredoBackend):
        """The shared form keeps the same rules."""
