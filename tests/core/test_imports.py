"""Importing the package imports no more than is needed."""

from __future__ import annotations

from ..support.python import output_of


def modules_after(code: str) -> set[str]:
    return set(output_of(f"import sys; {code}; print(*sys.modules)").split())


def test_import_of_the_package_imports_no_other_module() -> None:
    """The modules of the names are imported when a name is first used."""
    brought = modules_after("import aioteredo") - modules_after("import typing")
    assert brought == {"aioteredo"}


def test_import_of_the_watch_imports_no_backend() -> None:
    """The watch needs anyio, but no backend, no event loop and no slow module."""
    brought = modules_after("from aioteredo import watch_teredo_port")
    brought -= modules_after("import anyio, anyio.lowlevel, anyio.abc")
    heavy = {"ctypes", "asyncio", "trio", "socket", "importlib.metadata", "logging"}
    assert not brought & {*heavy, "argparse", "aioteredo.backends"}
