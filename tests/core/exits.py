"""Programs that exit with a watch open, and a check of the registrations they leave."""

from __future__ import annotations

import subprocess

from ..native import StandIn
from ..support.python import run_python

PREAMBLE = """
import atexit, asyncio, sys, threading

# The hook that is registered first runs last, after those of the package.
@atexit.register
def report():
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


def run_exit(code: str, stand_in: StandIn) -> subprocess.CompletedProcess[str]:
    """Run a program that opens watches under endless callbacks, and then exits."""
    preamble = PREAMBLE.format(library=stand_in.library)
    return run_python(preamble + code, options=["-W", "ignore::ResourceWarning"])


def check_quiet_exit(result: subprocess.CompletedProcess[str]) -> None:
    assert result.stderr == ""
    assert result.returncode == 0
    registered, cancelled, misused, live = map(int, result.stdout.split())
    assert registered == cancelled >= 1
    assert misused == live == 0
