"""Programs that are frozen into one file hold the modules that import statements name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

import aioteredo

ROOT = Path(aioteredo.__file__).parent
ENTRY_MODULES = (
    "aioteredo",
    "aioteredo.__main__",
    "aioteredo.testing",
    "aioteredo.pytest_plugin",
)


def modules() -> dict[str, Path]:
    """The modules of the package, by name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ["aioteredo", *path.relative_to(ROOT).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements that could run, also those inside of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for statement in child.orelse:  # tools that freeze a program drop the body
                yield from statements(statement)
        else:
            yield from statements(child)


def imported(name: str, path: Path) -> Iterator[str]:
    """Whatever the module imports, and the packages that contain it."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    yield package
    for statement in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        else:
            relative = "." * statement.level + (statement.module or "")
            source = resolve_name(relative, package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in statement.names)


def reachable() -> set[str]:
    """The modules that a chain of import statements connects with an entry module."""
    known, reached = modules(), set()
    waiting = list(ENTRY_MODULES)
    while waiting:
        name = waiting.pop()
        if name in known and name not in reached:
            reached.add(name)
            waiting += imported(name, known[name])
    return reached


@pytest.mark.parametrize("module", sorted(modules()))
def test_module_is_named_by_an_import_statement(module: str) -> None:
    """A program that was frozen with the package has this module."""
    assert module in reachable(), f"no import statement that can run leads to {module}"
