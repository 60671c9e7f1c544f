"""A thousand watches of the name ``miredo`` in one process, which has few descriptors."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

if sys.platform != "linux":
    pytest.skip("Miredo runs on Linux only", allow_module_level=True)

from ...support import miredo_lab
from ...support.miredo_lab import Lab
from ...support.requirements import require
from ...support.waiting import kill_at_the_limit

# The program opens all watches at the same time, and prints a line when they are open and
# another one when each has received its second event.
PROGRAM = """
import os, resource, sys
import anyio
from aioteredo import watch_teredo_port

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
received = []
opened = 0

def say(*words):
    threads = len(os.listdir("/proc/self/task"))
    descriptors = len(os.listdir("/proc/self/fd"))
    print(*words, threads, descriptors, flush=True)

async def use(all_opened, all_received):
    global opened
    async with watch_teredo_port(initial=True, backend="miredo") as events:
        assert (await events.receive()).port is None
        opened += 1
        if opened == 1000:
            all_opened.set()
        received.append((await events.receive()).port)
        if len(received) == 1000:
            all_received.set()
        await all_received.wait()

async def main():
    all_opened = anyio.Event()
    all_received = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(1000):
            tasks.start_soon(use, all_opened, all_received)
        await all_opened.wait()
        say("opened")
        await all_received.wait()
        (port,) = set(received)
        say(port)
    say("closed")

anyio.run(main, backend=sys.argv[1])
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    require("miredo", miredo_lab.missing())
    with Lab() as lab:
        yield lab


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_thousand_watches_of_one_name_need_few_threads_and_descriptors(
    lab: Lab, loop: str
) -> None:
    """One notification of Miredo reaches all of them."""
    process = lab.spawn(sys.executable, "-c", PROGRAM, loop)
    timer = kill_at_the_limit(process)
    output = process.stdout
    assert output is not None

    def read() -> tuple[str, int, int]:
        what, threads, descriptors = output.readline().split()
        return what, int(threads), int(descriptors)

    try:
        what, _, descriptors = read()
        assert what == "opened"
        assert descriptors <= 40

        lab.start()
        what, threads, descriptors = read()
        assert what == str(lab.wait_for_port())
        assert threads <= 6
        assert descriptors <= 40

        assert read()[0] == "closed"
        assert process.wait() == 0
    finally:
        timer.cancel()
