"""Marks of the tests of the command line, for platforms and for parameters."""

from __future__ import annotations

import signal
import sys
from typing import Final

import pytest

from ..support import loops

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
windows = pytest.mark.skipif(sys.platform != "win32", reason="needs Windows")

# The command runs on asyncio's own loop, which is the first of the list.
command_loop = pytest.mark.parametrize(
    "loop_name", [*loops.ASYNCIO_LOOPS][:1], indirect=True
)

STOPPING_SIGNALS: Final = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}
"""The signals that stop a command on this platform, by name."""

if sys.platform == "win32":
    STOPPING_SIGNALS["SIGBREAK"] = signal.SIGBREAK

each_on_busy = pytest.mark.parametrize("on_busy", ["latest", "queue", "restart"])
