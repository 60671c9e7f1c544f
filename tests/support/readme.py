"""The code blocks of README.md, so that the tests run the text that users copy."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_FENCED_BLOCKS = re.findall(r"(?ms)^```(\w+)\n(.*?)^```", README.read_text("utf-8"))


def blocks(language: str) -> list[str]:
    """Return the blocks in this language, in the order of the page."""
    return [source for name, source in _FENCED_BLOCKS if name == language]


def block(language: str, text: str) -> str:
    """Return the only block in this language that contains *text*."""
    (source,) = [source for source in blocks(language) if text in source]
    return source
