"""The code blocks of README.md and of the documentation.

The tests run the text that users copy. tests/docs/test_documentation.py checks that a test
runs each block.
"""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]

# A block can be indented, inside a list. A directive such as ```{note} is not a block: its
# name is in braces.
_BLOCK = re.compile(r"(?ms)^( *)```([\w-]+)\n(.*?)^\1```$")


def pages() -> list[str]:
    """Return README.md and each page of docs/, relative to the repository."""
    documentation = sorted((ROOT / "docs").rglob("*.md"))
    return ["README.md", *(path.relative_to(ROOT).as_posix() for path in documentation)]


def read(page: str) -> str:
    """Return the text of a page, which is named relative to the repository."""
    return (ROOT / page).read_text("utf-8")


def code(page: str) -> list[tuple[str, str]]:
    """Return the language and the text of each block of a page, in their order."""
    found = _BLOCK.findall(read(page))
    return [(language, dedent(source)) for _, language, source in found]


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in this language, in the order of the page."""
    return [source for name, source in code(page) if name == language]


def block(page: str, language: str, text: str) -> str:
    """Return the only block of a page in this language that contains *text*."""
    found = [source for source in blocks(page, language) if text in source]
    if len(found) != 1:
        raise LookupError(
            f"{page} must have one {language} block with {text!r}, and has {len(found)}"
        )
    return found[0]
