"""The directions in which the modules of the package may import each other.

The rules read the source, because an import that happens only on one platform, or only in
one function, would be missed by a look at ``sys.modules``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final, NamedTuple

import aioteredo

PACKAGE: Final = Path(aioteredo.__file__).parent

CORE_THAT_BACKENDS_AVOID: Final = (
    "aioteredo._address_watch",
    "aioteredo._port_watch",
    "aioteredo._watch",
    "aioteredo._stream",
    "aioteredo._registration",
    "aioteredo._selection",
)


class Import(NamedTuple):
    """An import of one module of the package by another."""

    importer: str
    imported: str
    line: int
    in_function: bool

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}: imports {self.imported}"


def modules() -> dict[str, Path]:
    """Return the source file of each module of the package, by the module's name."""
    found: dict[str, Path] = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


MODULES: Final = modules()


def imports_of(module: str) -> Iterator[Import]:
    """Return the imports that *module* executes, but not those for type checkers only."""
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    yield from imports_below(tree, module, in_function=False)


def imports_below(node: ast.AST, module: str, *, in_function: bool) -> Iterator[Import]:
    """Return the imports of the package below a node of the syntax tree."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue

        if isinstance(child, ast.Import):
            for alias in child.names:
                if alias.name in MODULES:
                    yield Import(module, alias.name, child.lineno, in_function)
        elif isinstance(child, ast.ImportFrom):
            source = absolute_name(child, module)
            for alias in child.names:
                # "from . import output" imports a module, "from .output import say" a name.
                submodule = f"{source}.{alias.name}"
                name = submodule if submodule in MODULES else source
                if name in MODULES:
                    yield Import(module, name, child.lineno, in_function)

        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from imports_below(child, module, in_function=in_function or is_function)


def absolute_name(statement: ast.ImportFrom, module: str) -> str:
    """Return the name of the module that a ``from`` statement names, maybe relatively."""
    if statement.level == 0:
        return statement.module or ""

    is_package = MODULES[module].name == "__init__.py"
    parents = module.split(".")
    if not is_package:
        parents = parents[:-1]
    parents = parents[: len(parents) - statement.level + 1]
    return ".".join([*parents, *filter(None, [statement.module])])


IMPORTS: Final = [each for module in MODULES for each in imports_of(module)]


def is_in(module: str, *packages: str) -> bool:
    """Return whether *module* is one of these packages, or a module in one of them."""
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def is_core(module: str) -> bool:
    """Return whether *module* is a file of the package's own folder."""
    return MODULES[module].parent == PACKAGE


def test_only_main_imports_the_command_line() -> None:
    """A program that uses the library never imports the command line."""
    wrong = [
        each
        for each in IMPORTS
        if is_in(each.imported, "aioteredo._cli")
        if not is_in(each.importer, "aioteredo._cli", "aioteredo.__main__")
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_product_does_not_import_the_conformance_suite() -> None:
    """``aioteredo.testing`` needs pytest, which users do not install with the package."""
    wrong = [
        each
        for each in IMPORTS
        if is_in(each.imported, "aioteredo.testing")
        if not is_in(each.importer, "aioteredo.testing")
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_core_imports_backends_only_in_functions() -> None:
    """A program loads only the backend that it uses."""
    wrong = [
        each
        for each in IMPORTS
        if is_core(each.importer)
        if is_in(each.imported, "aioteredo.backends")
        if not each.in_function
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_backends_do_not_import_watches() -> None:
    """A backend knows its sink, and neither the watch behind it nor the other backends."""
    wrong = [
        each
        for each in IMPORTS
        if is_in(each.importer, "aioteredo.backends")
        if is_in(each.imported, *CORE_THAT_BACKENDS_AVOID)
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    """Each module can be imported first, and be read without the modules that use it."""
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for each in IMPORTS:
        if not each.in_function:
            graph[each.importer].add(each.imported)

    circle: list[str] = []
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = error.args[1]
    assert not circle, " is imported by ".join(circle)


def test_rules_see_the_imports() -> None:
    """The reader of the source finds imports of each kind, so no rule is empty."""
    found = {(each.importer, each.imported, each.in_function) for each in IMPORTS}
    assert ("aioteredo.__main__", "aioteredo._cli.commands", True) in found
    assert ("aioteredo._selection", "aioteredo.backends.miredo", True) in found
    assert ("aioteredo._watch", "aioteredo._registration", False) in found
    assert ("aioteredo._cli.exec", "aioteredo._cli.process_group", False) in found
    assert ("aioteredo.backends.iphlpapi", "aioteredo._backend", False) in found
