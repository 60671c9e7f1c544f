"""What a forked child does before it runs on."""

from __future__ import annotations

import os
from collections.abc import Callable


def after_fork_in_child(forget: Callable[[], object]) -> None:
    """Have each forked child call *forget* first, in the order of registration.

    A child has no thread of its parent's, and the locks are as they were: a lock that
    another thread held is never released. The registrations are the parent's to cancel.
    """
    if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
        os.register_at_fork(after_in_child=forget)
