"""A program that is frozen into one file contains every module of the package."""

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
    """Return the modules of the package, by name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ["aioteredo", *path.relative_to(ROOT).with_suffix("").parts]
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path

    return found


def import_statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the import import_statements that can run, even those inside of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            # Tools that freeze a program ignore the body of this ``if``.
            for statement in child.orelse:
                yield from import_statements(statement)
        else:
            yield from import_statements(child)


def imported_names(name: str, path: Path) -> Iterator[str]:
    """Yield the modules that a module imports, and the packages that contain it."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    yield package

    for statement in import_statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        else:
            relative = "." * statement.level + (statement.module or "")
            source = resolve_name(relative, package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in statement.names)


def reachable_modules() -> set[str]:
    """Return the modules that import statements connect with an entry module."""
    known = modules()
    reached = set()
    waiting = list(ENTRY_MODULES)

    while waiting:
        name = waiting.pop()
        if name in known and name not in reached:
            reached.add(name)
            waiting += imported_names(name, known[name])

    return reached


@pytest.mark.parametrize("module", sorted(modules()))
def test_module_is_reached_by_import_statements(module: str) -> None:
    """Tools that freeze a program follow import statements, and so find this module."""
    assert module in reachable_modules(), (
        f"no import statement that can run leads to {module}"
    )
