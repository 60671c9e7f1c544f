"""Rights that a test takes from its own thread or process, or gives to it, on Linux."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Final

import pytest

_LINUX_CAPABILITY_VERSION_3: Final = 0x20080522  # linux/capability.h
_CAP_KILL: Final = 5
_PR_CAPBSET_DROP: Final = 24  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER: Final = 36


@contextlib.contextmanager
def without_cap_kill() -> Iterator[None]:
    """Take CAP_KILL from this thread, but not from the processes that it starts."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can start another user's process")

    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    libc = ctypes.CDLL(None, use_errno=True)
    header = Header(_LINUX_CAPABILITY_VERSION_3, 0)
    before = (ctypes.c_uint32 * 6)()
    without = (ctypes.c_uint32 * 6)()
    for sets in (before, without):
        assert libc.capget(ctypes.byref(header), sets) == 0

    without[0] &= ~(1 << _CAP_KILL)  # The first of the six words is the effective set.
    assert libc.capset(ctypes.byref(header), without) == 0
    try:
        yield
    finally:
        assert libc.capset(ctypes.byref(header), before) == 0


def drop_cap_kill_for_good() -> None:
    """Take CAP_KILL from the processes that this thread will start.

    The capability does not come back, so call this on a thread that ends soon.
    """
    prctl = ctypes.CDLL(None).prctl
    assert prctl(_PR_CAPBSET_DROP, _CAP_KILL, 0, 0, 0) == 0


@contextlib.contextmanager
def as_child_subreaper() -> Iterator[None]:
    """Let this process adopt orphans, as the first process of a container does."""
    if sys.platform != "linux":
        pytest.skip("needs Linux' PR_SET_CHILD_SUBREAPER")
    prctl = ctypes.CDLL(None).prctl
    assert prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
