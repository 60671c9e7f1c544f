"""The command with a simulated client that restarts ten times a second.

The documentation shows ports of the client that the name ``simulated`` stands for. It
restarts every two seconds, and a test would wait for it.
"""

from __future__ import annotations

import sys
from typing import Final

_SOURCE: Final = """
import sys
from aioteredo.__main__ import main
from aioteredo.backends import simulated

simulated.RESTART_INTERVAL = 0.1
sys.exit(main())
"""


def quick_command(*arguments: str) -> list[str]:
    """Return the command line of ``aioteredo`` with the quick client."""
    return [sys.executable, "-c", _SOURCE, *arguments]
