"""What a machine lacks is skipped with the reason, or fails where it is required.

``AIOTEREDO_REQUIRE`` lists what must not be skipped: ``native``, ``windows``, ``miredo``,
``systemd``, ``benchmarks``.
"""

from __future__ import annotations

import os

import pytest


def require(feature: str, missing: str | None) -> None:
    """Skip the test because of *missing*, unless *feature* is required here."""
    if missing is None:
        return
    if feature in os.environ.get("AIOTEREDO_REQUIRE", "").split(","):
        pytest.fail(f"{feature} is required here: {missing}")
    pytest.skip(missing)
