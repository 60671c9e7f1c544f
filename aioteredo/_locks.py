"""Calls under a lock that Ctrl-C leaves free, and that an event loop may attempt."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import TypeVar

T = TypeVar("T")

# From Python 3.14 on, Ctrl-C can be raised after ``with lock`` has acquired the lock and
# before its block begins. The lock would stay held, and the next thread that wants it would
# wait until the process is killed. The functions below acquire the lock inside of ``try``.
#
# Python raises Ctrl-C when a Python function begins, or after a built-in one has returned.
# So nothing is called between ``finally`` and ``release``. A helper function for the two
# lines could be interrupted before it releases.
#
# The locks are RLocks, because only the thread that holds an RLock can release it. So
# release() itself detects an interruption that came before the lock was acquired.


def call_holding(lock: RLock, call: Callable[[], T]) -> T:
    """Call *call* while this thread holds *lock*, and release it even after Ctrl-C."""
    try:
        lock.acquire()
        return call()
    finally:
        try:  # noqa: SIM105 - Ctrl-C could be raised inside of suppress()
            lock.release()
        except RuntimeError:  # interrupted before the lock was acquired
            pass


def try_call_holding(lock: RLock, call: Callable[[], T], otherwise: T) -> T:
    """Call *call* while this thread holds *lock*, if that is free. Never blocks.

    :param otherwise: returned if another thread holds the lock
    """
    try:
        return call() if lock.acquire(blocking=False) else otherwise
    finally:
        try:  # noqa: SIM105 - as above
            lock.release()
        except RuntimeError:  # another thread holds the lock, or as above
            pass
