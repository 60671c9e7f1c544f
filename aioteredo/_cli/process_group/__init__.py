"""CMD as a child process in its own process group: how it is started, awaited and ended."""

from __future__ import annotations

import sys

if sys.platform == "win32":  # pragma: no cover - coverage is measured on Linux
    from .windows import Child, Children, end
else:
    from .posix import Child, Children, end

__all__ = ["Child", "Children", "end"]
