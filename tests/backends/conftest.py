"""Fixtures of the tests of the backends."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture
def netns() -> Iterator[None]:
    """A new network namespace for this thread and the threads that it starts."""
    if sys.platform != "linux":
        pytest.skip("network namespaces are a feature of Linux")

    # Imported here, because its modules of the standard library are missing on Windows.
    from ..support.miredo import network_namespace

    with network_namespace():
        yield
