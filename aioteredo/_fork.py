"""Cleaning up in the child of a fork."""

from __future__ import annotations

import os
from collections.abc import Callable


def after_fork_in_child(forget: Callable[[], object]) -> None:
    """Have each forked child call *forget* first, in the order of registration.

    A child has none of its parent's other threads, so a lock that one of them held is never
    released there. It must not cancel the registrations either, because the parent does.
    """
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(after_in_child=forget)
