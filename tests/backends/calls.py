"""Calls that must return in time, and calls that raise."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NoReturn


def within_time(call: Callable[[], object]) -> None:
    """Make a call that must return within the limit."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "the call does not return"


def raiser(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail
