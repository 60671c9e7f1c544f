"""``run_until_signal()``: a signal ends a waiting command, in the process of the tests."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress

import anyio
import anyio.to_thread
import pytest

from aioteredo import SimulatedBackend, use_backend
from aioteredo._cli.commands import main
from aioteredo._cli.signals import SIGNALS, run_until_signal

from .marks import posix
from .signalling import signal_when


def test_handlers_are_restored_and_ignored_signals_stay_ignored() -> None:
    """``main()`` restores the handlers of the program, and leaves ignored signals alone."""
    client = SimulatedBackend()
    ignored = SIGNALS[-1]
    handler = signal.signal(ignored, signal.SIG_IGN)
    before = [signal.getsignal(number) for number in SIGNALS]
    handlers_during_watch = []

    def is_watching() -> bool:
        handlers_during_watch.append(signal.getsignal(ignored))
        return client.subscriber_count > 0

    try:
        with use_backend(client), signal_when(is_watching, signal.SIGTERM):
            assert main(["watch"]) == 143
        assert [signal.getsignal(number) for number in SIGNALS] == before
        assert {*handlers_during_watch} == {signal.SIG_IGN}
    finally:
        signal.signal(ignored, handler)


def test_keyboard_interrupt_without_a_signal_is_raised() -> None:
    """A KeyboardInterrupt that no handled signal has caused leaves ``run()``."""

    async def interrupt() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        anyio.run(run_until_signal, interrupt)


@posix
def test_loop_has_a_wakeup_descriptor() -> None:
    """Without the descriptor, a signal just before the loop waits does not end the wait."""

    async def get_wakeup_descriptor() -> int:
        number = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(number)
        return number

    assert anyio.run(run_until_signal, get_wakeup_descriptor) != -1


def test_signal_while_the_wakeup_buffer_is_full_causes_no_warning(
    unraisable: list[sys.UnraisableHookArgs],
) -> None:
    """The loop wakes up, and the signal ends the command."""

    async def work() -> int:
        wakeup_socket = asyncio.get_running_loop()._csock  # type: ignore[attr-defined]
        with suppress(BlockingIOError):
            while True:
                wakeup_socket.send(bytes(1024))
        signal.raise_signal(signal.SIGTERM)
        await anyio.sleep_forever()
        return 0

    assert anyio.run(run_until_signal, work) == 143
    assert unraisable == []


def test_signal_cancels_the_command_at_its_next_await() -> None:
    """The handler raises nothing, so code between two awaits runs to its end."""
    steps = []

    async def work() -> int:
        signal.raise_signal(signal.SIGTERM)
        steps.append("after the signal")
        await anyio.sleep_forever()
        return 0

    assert anyio.run(run_until_signal, work) == 143
    assert steps == ["after the signal"]


@posix
def test_signal_that_the_program_handles_does_not_end_the_command() -> None:
    """The handler of the program is called, and the command goes on."""
    if sys.platform == "win32":
        raise NotImplementedError
    received = []

    async def work() -> int:
        signal.raise_signal(signal.SIGUSR1)
        await anyio.lowlevel.checkpoint()
        return 5

    before = signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))
    try:
        assert anyio.run(run_until_signal, work) == 5
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert received == [signal.SIGUSR1]


def test_signal_wins_over_the_status_of_a_finished_command() -> None:
    """A signal sets the exit status even if the command returns 0 after the signal."""

    async def end() -> int:
        signal.raise_signal(signal.SIGTERM)
        return 0

    assert anyio.run(run_until_signal, end) == 128 + signal.SIGTERM
