"""The end of a process with a watch open: its interpreter exits, or it forks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ..native import StandIn
from ..support.python import run_python

PREAMBLE = """
import atexit, asyncio, sys, threading

@atexit.register
def report():  # registered first, so it runs after all else
    print(stand_in.registered, stand_in.cancelled, stand_in.misused, stand_in.live)

import anyio
from aioteredo import *
from tests.native import StandIn

stand_in = StandIn({library!r})
backend = stand_in.backend

async def use(ready=lambda: None):
    async with watch_teredo_port(initial=True, backend=backend) as events:
        for _ in range(10):
            await events.receive()
        ready()
        async for event in events:
            pass

stand_in.start(1, -1)
"""

EXITS = {
    "the loop has stopped": """
loop = asyncio.new_event_loop()
task = loop.create_task(use(loop.stop))
loop.run_forever()
task._log_destroy_pending = False
""",
    "the loop is closed": """
loop = asyncio.new_event_loop()
task = loop.create_task(use(loop.stop))
loop.run_forever()
loop.close()
task._log_destroy_pending = False
""",
    "a thread runs the loop": """
ready = threading.Event()
threading.Thread(target=lambda: asyncio.run(use(ready.set)), daemon=True).start()
ready.wait()
""",
    "a thread runs trio": """
ready = threading.Event()
threading.Thread(
    target=lambda: anyio.run(use, ready.set, backend="trio"), daemon=True
).start()
ready.wait()
""",
    "sys.exit": """
asyncio.run(use(sys.exit))
""",
    "a watch is kept": """
loop = asyncio.new_event_loop()
watches = [watch_teredo_port(backend=backend) for _ in range(10)]
streams = [loop.run_until_complete(watch.__aenter__()) for watch in watches]
""",
    "a watch was dropped just now": """
loop = asyncio.new_event_loop()
watch = watch_teredo_port(backend=backend)
loop.run_until_complete(watch.__aenter__())
del watch
""",
}


def run(code: str, stand_in: StandIn) -> subprocess.CompletedProcess[str]:
    preamble = PREAMBLE.format(library=stand_in.library)
    return run_python(preamble + code, options=["-W", "ignore::ResourceWarning"])


def check(result: subprocess.CompletedProcess[str]) -> None:
    assert result.stderr == ""
    assert result.returncode == 0
    registered, cancelled, misused, live = map(int, result.stdout.split())
    assert registered == cancelled >= 1
    assert misused == live == 0


@pytest.mark.parametrize("exit_", EXITS.values(), ids=EXITS)
def test_08_interpreter_exits_under_fire(stand_in: StandIn, exit_: str) -> None:
    """No hang, no crash, no word, and one cancel for each registration."""
    check(run(exit_, stand_in))


def test_dropped_watch_warns_once(stand_in: StandIn) -> None:
    """With warnings on, a dropped watch is the one thing said at the exit."""
    code = "import warnings; warnings.simplefilter('always')\n"
    result = run(code + EXITS["a watch was dropped just now"], stand_in)
    assert result.stderr.count("ResourceWarning: unclosed <aioteredo.") == 1
    assert result.stdout.split() == ["1", "1", "0", "0"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_23_fork_with_a_watch_open(stand_in: StandIn) -> None:
    """A child leaves its parent's registration alone, and can open its own watch."""
    code = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads
simulated = SimulatedBackend(5)

async def child():
    async with watch_teredo_port(initial=True, backend=simulated) as events:
        return (await events.receive()).port

loop = asyncio.new_event_loop()
watches = [watch_teredo_port(backend=b) for b in (backend, simulated)]
streams = [loop.run_until_complete(watch.__aenter__()) for watch in watches]
stand_in.join()
pid = os.fork()
if pid == 0:
    port = asyncio.run(child())
    simulated.set_port(6)
    del watches, streams
    os.write(1, b"child %d\\n" % port)
    sys.exit()
assert os.waitpid(pid, 0)[1] == 0
stand_in.change(9)
while loop.run_until_complete(streams[0].receive()).port != 9:
    pass
for watch in watches:
    loop.run_until_complete(watch.__aexit__(None, None, None))
loop.close()
"""
    result = run(code, stand_in)
    assert result.stderr == ""
    # The child's report comes after its exit hooks, which have cancelled nothing.
    assert result.stdout.splitlines() == ["child 5", "1 0 0 1", "1 1 0 0"]


def test_ctrl_c_before_the_exit_hook_has_begun(stand_in: StandIn) -> None:
    """A hook that Ctrl-C ended before its first line leaves the work to the second one."""
    code = (
        EXITS["a watch is kept"]
        + """
def strike(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "_cancel_all":
        sys.setprofile(None)
        raise KeyboardInterrupt

atexit.register(sys.setprofile, strike)
"""
    )
    result = run(code, stand_in)
    assert "KeyboardInterrupt" in result.stderr
    assert result.stdout.split() == ["10", "10", "0", "0"]
