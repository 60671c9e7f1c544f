"""Processes that exit or fork while a watch is open."""

from __future__ import annotations

import sys

import pytest

from ..native import StandIn
from .exits import EXITS, check_quiet_exit, run_exit


@pytest.mark.parametrize("exit_", EXITS.values(), ids=EXITS)
def test_interpreter_that_exits_during_callbacks_cancels_each_registration_once(
    stand_in: StandIn, exit_: str
) -> None:
    """The process does not hang, does not crash and writes no error."""
    check_quiet_exit(run_exit(exit_, stand_in))


def test_watch_that_is_dropped_before_the_exit_warns_once(stand_in: StandIn) -> None:
    """The process writes one ResourceWarning and nothing else goes wrong."""
    code = "import warnings; warnings.simplefilter('always')\n"
    result = run_exit(code + EXITS["a watch was dropped just now"], stand_in)
    assert result.stderr.count("ResourceWarning: unclosed <aioteredo.") == 1
    assert result.stdout.split() == ["1", "1", "0", "0"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_forked_child_leaves_the_registration_of_its_parent_and_opens_its_own(
    stand_in: StandIn,
) -> None:
    """The child cancels nothing at its exit, and the watch of the parent goes on."""
    code = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # os.fork() warns about threads.
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
    result = run_exit(code, stand_in)

    assert result.stderr == ""
    # The child reports after its exit hooks. They have not cancelled the registration.
    assert result.stdout.splitlines() == ["child 5", "1 0 0 1", "1 1 0 0"]


def test_ctrl_c_before_the_first_line_of_the_exit_hook_leaves_it_to_the_second_hook(
    stand_in: StandIn,
) -> None:
    """The package registers its exit hook twice, and the second one cancels."""
    code = (
        EXITS["a watch is kept"]
        + """
def interrupt(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "cancel_all":
        sys.setprofile(None)
        raise KeyboardInterrupt

atexit.register(sys.setprofile, interrupt)
"""
    )
    result = run_exit(code, stand_in)

    assert "KeyboardInterrupt" in result.stderr
    assert result.stdout.split() == ["10", "10", "0", "0"]
