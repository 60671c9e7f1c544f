"""A test runs each code block, and the reference has each public name.

The tests name the blocks that they run, in calls of ``documents.block()``. This module
finds these calls in the source code of the tests.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import aioteredo

from ..support import documents

TESTS = Path(__file__).parents[1]

# The blocks that no test runs: the page, a text of the block, and the reason.
NOT_RUN = [
    ("README.md", "pip install aioteredo", "PyPI has only the released versions"),
    ("README.md", "--count 3 --json", "the stage demonstrate of .ci/run runs it"),
    ("README.md", "coverage run -m pytest", "the stage suite of .ci/run runs it"),
    ("docs/recipes/fixed-port.md", "clientport=51820", "Wine has no Teredo"),
    ("docs/recipes/fixed-port.md", "clientport=default", "Wine has no Teredo"),
    ("docs/recipes/fixed-port.md", "Set-NetTeredoConfiguration", "Wine has no Teredo"),
    ("docs/tutorial.md", "pip install aioteredo", "PyPI has only the released versions"),
]

# Texts and pictures of characters, such as the output of a program.
NOT_CODE = {"text"}


def calls_of_block(tree: ast.Module) -> Iterator[list[str]]:
    """Yield the arguments of each call of ``block()`` or ``blocks()`` in a module.

    An argument is a string, or the name of a constant of the module.
    """
    constants: dict[str, ast.expr] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            constants[statement.targets[0].id] = statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            constants[ast.unparse(statement.target)] = statement.value

    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        if name not in ("block", "blocks"):
            continue

        arguments: list[str] = []
        for argument in node.args:
            if isinstance(argument, ast.Name):
                argument = constants.get(argument.id, argument)
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                arguments.append(argument.value)
        if len(arguments) == len(node.args):
            yield arguments


def blocks_that_tests_run() -> set[tuple[str, str]]:
    """Return the page and the text of each block that a test names."""
    pages = documents.pages()
    run: set[tuple[str, str]] = set()
    for path in TESTS.rglob("*.py"):
        for page, language, *texts in calls_of_block(ast.parse(path.read_text("utf-8"))):
            found = documents.blocks(page, language) if page in pages else []
            run |= {(page, source) for source in found if all(t in source for t in texts)}
    return run


def test_each_block_is_run_by_a_test() -> None:
    """A new block needs a test, or an entry in NOT_RUN."""
    run = blocks_that_tests_run()

    left: list[str] = []
    for page in documents.pages():
        for language, source in documents.code(page):
            excused = any(name == page and text in source for name, text, _ in NOT_RUN)
            if language not in NOT_CODE and not excused and (page, source) not in run:
                left.append(f"{page}: {language}: {source.splitlines()[0]} ...")

    assert left == [], "name these blocks in a test by documents.block(), or in NOT_RUN"


@pytest.mark.parametrize(("page", "text", "reason"), NOT_RUN)
def test_block_that_is_not_run_exists(page: str, text: str, reason: str) -> None:
    """An entry of NOT_RUN stands for one block of its page."""
    assert len([source for _, source in documents.code(page) if text in source]) == 1


@pytest.mark.parametrize("name", aioteredo.__all__)
def test_reference_has_each_public_name(name: str) -> None:
    """Autodoc includes only the names that the page lists."""
    assert re.search(rf":: aioteredo\.{name}\b", documents.read("docs/api.md"))
