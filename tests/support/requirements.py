"""Skips for features that the machine lacks, and failures where CI requires the feature.

The environment variable ``AIOTEREDO_REQUIRE`` lists the required features: ``native``,
``windows``, ``mingw``, ``miredo``, ``mosquitto``, ``bind9``, ``systemd``, ``benchmarks``.
"""

from __future__ import annotations

import os
import sys
from typing import Final

import pytest

FREE_THREADED: Final = not getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether this interpreter runs without the GIL."""


def require(feature: str, missing: str | None) -> None:
    """Skip the test if *missing* names something that *feature* needs and that is absent.

    The test fails instead if ``AIOTEREDO_REQUIRE`` lists the feature.
    """
    if missing is None:
        return
    if feature in os.environ.get("AIOTEREDO_REQUIRE", "").split(","):
        pytest.fail(f"AIOTEREDO_REQUIRE lists {feature}, but this is missing: {missing}")
    pytest.skip(missing)
