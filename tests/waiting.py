"""Waiting for what tells nobody when it is so."""

from __future__ import annotations

import time
from collections.abc import Callable

TIMEOUT = 50.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Look again and again, with a short pause between the looks.

    :raises TimeoutError: that *what* was not so in time
    """
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not in {TIMEOUT} s")
        time.sleep(0.001)
