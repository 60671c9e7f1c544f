"""Shared registrations under load: a part in every run, all of it with ``-m soak``."""

from __future__ import annotations

import random
import threading
import time
from contextlib import AsyncExitStack

import anyio
import pytest
from anyio.lowlevel import checkpoint

from aioteredo import (
    BackendError,
    NotificationType,
    SimulatedBackend,
    _registration,
    _selection,
    share,
    watch_teredo_port,
)

from ..native import StandIn
from ..support.waiting import join, start_thread, wait_until
from .sharing import users

every_loop = pytest.mark.every_loop

SOAK = [pytest.mark.soak, pytest.mark.timeout(900)]

many = pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=SOAK)])


@every_loop
@many
async def test_one_native_registration_serves_many_watches(
    stand_in: StandIn, count: int
) -> None:
    """One native callback reaches all watches of one result of ``share()``."""
    shared = share(stand_in.backend)
    others = set(threading.enumerate())
    async with AsyncExitStack() as watches:
        streams = [
            await watches.enter_async_context(watch_teredo_port(backend=shared))
            for _ in range(count)
        ]
        assert stand_in.registered == 1
        assert len(set(threading.enumerate()) - others) <= 2
        stand_in.change(7)
        for stream in streams:
            assert (await stream.receive()).port == 7

    assert (stand_in.registered, stand_in.cancelled, stand_in.called) == (1, 1, 1)


@every_loop
@many
async def test_one_registration_serves_many_watches_of_a_name(
    no_backend_chosen: None, count: int
) -> None:
    """One change reaches all watches of the name ``simulated``."""
    async with AsyncExitStack() as watches:
        streams = [
            await watches.enter_async_context(
                watch_teredo_port(initial=True, max_buffer_size=1, backend="simulated")
            )
            for _ in range(count)
        ]
        client = _selection.resolve("simulated").inner  # type: ignore[attr-defined]
        assert client.subscriber_count == 1
        port = client.restart()
        for stream in streams:
            assert (await stream.receive()).port == port

    assert client.subscriber_count == 0


class Stress:
    """Watches that open, fail, are cancelled and close, in several loops and threads."""

    def __init__(self) -> None:
        self.client = SimulatedBackend(1)
        self.shared = share(self.client)
        self.ended = threading.Event()
        self.opened = 0
        self.received = 0
        self.wrong: list[str] = []
        self.last_ports: list[int | None] = []

    def run_loop(self, backend: str, seed: int) -> None:
        anyio.run(self.main, random.Random(seed), backend=backend)

    async def main(self, rng: random.Random) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(15):
                tasks.start_soon(self.open_and_close, rng)
            tasks.start_soon(self.follow_to_the_end)

    async def open_and_close(self, rng: random.Random) -> None:
        while not self.ended.is_set():
            initial = rng.random() < 0.7
            try:
                with anyio.move_on_after(rng.random() * 0.02):
                    async with watch_teredo_port(
                        initial=initial, backend=self.shared
                    ) as events:
                        self.opened += 1
                        first = await events.receive()
                        self.check(first.notification_type, initial and not first.missed)
                        async for event in events:
                            self.received += 1
                            self.check(event.notification_type, False)
            except BackendError:
                await checkpoint()

    def check(self, notification_type: int, is_initial: bool) -> None:
        if (notification_type == NotificationType.INITIAL) != is_initial:
            self.wrong.append(f"{notification_type=}, {is_initial=}")

    async def follow_to_the_end(self) -> None:
        """Watch until the last port has come. Open another watch after each failure."""
        while True:
            try:
                async with watch_teredo_port(
                    initial=True, max_buffer_size=1, backend=self.shared
                ) as events:
                    async for event in events:
                        if event.port == 65535:
                            self.last_ports.append(event.port)
                            return
            except BackendError:
                await checkpoint()

    def change(self, seconds: float) -> None:
        """Change and fail the client, and at last give it the port 65535."""
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end:
            number += 1
            self.client.set_port(number % 60_000 + 1)
            if number % 200 == 0:
                self.client.fail(BackendError("NotifyTeredoPortChange", 31))
            if number % 333 == 0:
                self.client.fail_next_subscribe(BackendError("NotifyTeredoPortChange", 8))
            if number % 111 == 0:
                self.client.fail_next_cancel(BackendError("CancelMibChangeNotify2", 6))
            time.sleep(0.0003 * (number % 3 == 0))
        self.client.set_port(65535)
        self.ended.set()


@pytest.mark.parametrize("seconds", [1, pytest.param(60, marks=SOAK)])
def test_watches_of_three_loops_survive_failures_and_leave_nothing(seconds: int) -> None:
    """The initial event is the first one, the last port arrives, and all is cancelled."""
    stress = Stress()
    threads = [
        start_thread(lambda kind=kind, seed=seed: stress.run_loop(kind, seed))  # type: ignore[misc]
        for seed, kind in enumerate(("asyncio", "trio", "asyncio"))
    ]
    try:
        stress.change(seconds)
    finally:
        stress.ended.set()
        join(*threads)

    assert stress.last_ports == [65535] * 3
    assert not stress.wrong
    assert stress.opened > 10 * seconds
    wait_until(lambda: not _registration._subscriptions, "no watch is registered")
    wait_until(lambda: stress.client._client._thread is None, "the client is idle")
    assert stress.client.subscriber_count == 0
    assert users(stress.shared) == 0
