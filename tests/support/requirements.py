"""What a machine lacks is skipped with the reason, or fails where it is required.

``AIOTEREDO_REQUIRE`` lists what must not be skipped: ``native``, ``windows``, ``miredo``,
``systemd``, ``benchmarks``.
"""

from __future__ import annotations

import os
import sys
from typing import Final

import pytest

FREE_THREADED: Final = not getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether this interpreter runs without the GIL."""


def require(feature: str, missing: str | None) -> None:
    """Skip the test because of *missing*, unless *feature* is required here."""
    if missing is None:
        return
    if feature in os.environ.get("AIOTEREDO_REQUIRE", "").split(","):
        pytest.fail(f"{feature} is required here: {missing}")
    pytest.skip(missing)
