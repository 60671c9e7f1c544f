"""The README's code blocks: what users copy is what the tests run."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_FENCED = re.findall(r"(?ms)^```(\w+)\n(.*?)^```", README.read_text("utf-8"))


def blocks(language: str) -> list[str]:
    return [source for name, source in _FENCED if name == language]


def block(language: str, word: str) -> str:
    """The one block that has *word* in it."""
    (source,) = [source for source in blocks(language) if word in source]
    return source
