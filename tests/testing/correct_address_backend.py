"""A correct backend for addresses, from which the faulty ones derive."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from aioteredo import TeredoAddress
from aioteredo._backend import AddressSink, Sink
from aioteredo.testing import BackendContract, Driver

from .correct_backend import ERROR, INITIAL, Client, Registration


class NoAddressesSink:
    """A sink for addresses that a client for ports calls, with None for no address."""

    def __init__(self, sink: AddressSink) -> None:
        self.sink = sink
        self.fail = sink.fail

    def push(self, addresses: Any, notification_type: int) -> None:
        self.sink.push(addresses or (), notification_type)


class AddressClient:
    """A backend whose ports are those of one client, and whose addresses of another.

    The client of the addresses has a tuple of them as its port.
    """

    timeout = BackendContract.timeout
    a_while = 0.01  # A longer wait could only reveal mistakes, and this backend has none.

    def __init__(self, addresses: Client | None = None) -> None:
        self.ports = Client()
        self.addresses: Any = addresses or Client()
        self.lock = threading.Lock()
        self.delayed = False
        self.waiting: list[StableRegistration] = []

    def get_port(self) -> int | None:
        return self.ports.get_port()

    def subscribe(self, sink: Sink, *, initial: bool) -> Registration:
        return self.ports.subscribe(sink, initial=initial)

    def get_addresses(self) -> Any:
        return self.addresses.get_port() or ()

    def subscribe_addresses(self, sink: AddressSink, *, initial: bool) -> Registration:
        registration: Registration = self.addresses.subscribe(
            NoAddressesSink(sink), initial=initial
        )
        return registration

    def subscribe_stable_addresses(self, sink: AddressSink) -> StableRegistration:
        registration = StableRegistration(self, sink)
        with self.lock:
            self.waiting.append(registration)
            if not self.delayed:
                registration.push()
        return registration

    def change_addresses(self, addresses: tuple[TeredoAddress, ...]) -> None:
        self.addresses.change(addresses or None)

    def delay_stable(self, on: bool) -> None:
        with self.lock:
            self.delayed = on
            if not on:
                for registration in self.waiting:
                    registration.push()

    def refuse(self, on: bool) -> None:
        self.ports.refuse(on)
        self.addresses.refuse(on)

    def fail(self) -> None:
        self.ports.fail()
        self.addresses.fail()
        with self.lock:
            for registration in self.waiting:
                registration.sink.fail(ERROR)

    def close(self) -> None:
        self.ports.close()
        self.addresses.close()

    @contextmanager
    def driver(self) -> Iterator[Driver]:
        with closing(self):
            yield Driver(
                self,
                self.ports.change,
                self.refuse,
                self.fail,
                self.change_addresses,
                self.delay_stable,
            )


class StableRegistration:
    """A sink that waits for stable addresses."""

    def __init__(self, client: AddressClient, sink: AddressSink) -> None:
        self.client = client
        self.sink = sink

    def push(self) -> None:
        self.sink.push(self.client.get_addresses(), INITIAL)

    def cancel(self) -> None:
        with self.client.lock:
            self.client.waiting.remove(self)
