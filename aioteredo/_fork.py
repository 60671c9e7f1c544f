"""Cleaning up in the child of a fork."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakSet

# A child has none of its parent's other threads, so a lock that one of them held is never
# released there. It must not cancel the registrations either, because the parent does.


def after_fork_in_child(forget: Callable[[], object]) -> None:
    """Have each forked child call *forget* first, in the order of registration."""
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(after_in_child=forget)


class Forgetful(Protocol):
    """An object with locks or registrations that the child of a fork must not use."""

    def forget(self) -> None:
        """Make new locks, and forget the registrations."""


_forgetful: Final[WeakSet[Forgetful]] = WeakSet()


def forget_after_fork(forgetful: Forgetful) -> None:
    """Have each forked child call ``forgetful.forget()``, as long as the object lives."""
    _forgetful.add(forgetful)


def _forget_all() -> None:  # pragma: no cover - it runs in the child
    for forgetful in list(_forgetful):
        forgetful.forget()


after_fork_in_child(_forget_all)
