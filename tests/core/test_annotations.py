"""The annotations of public definitions can be read while a program runs."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator

import pytest

import aioteredo
import aioteredo.testing
from aioteredo import pytest_plugin


def annotated_definitions() -> Iterator[tuple[str, object]]:
    """Yield each public class and function, and the public methods of each class."""
    for module in (aioteredo, aioteredo.testing):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isroutine(value):
                yield name, value
            if isinstance(value, type):
                yield name, value
                yield from methods(value)

    yield "teredo", inspect.unwrap(pytest_plugin.teredo)


def methods(cls: type) -> Iterator[tuple[str, object]]:
    for name, value in vars(cls).items():
        if name.startswith("_") and name not in ("__init__", "__enter__", "__exit__"):
            continue
        if isinstance(value, property):
            value = value.fget
        if isinstance(value, classmethod | staticmethod):
            value = value.__func__
        if isinstance(value, types.FunctionType):
            yield f"{cls.__name__}.{name}", value


ANNOTATED = dict(annotated_definitions())


def test_list_of_definitions_is_complete() -> None:
    """The next test checks all classes, functions and methods, and the fixture."""
    aliases = {"BackendLike"}
    expected = {
        name for name in aioteredo.__all__ if not name.startswith("TEREDO_")
    } - aliases

    assert expected | {"Driver", "BackendContract"} <= {*ANNOTATED}
    assert {"MiredoBackend.get_port", "SimulatedBackend.subscriber_count"} <= {*ANNOTATED}
    assert inspect.isfunction(ANNOTATED["teredo"])


@pytest.mark.parametrize("name", sorted(ANNOTATED))
def test_annotations_of_public_definition_can_be_read(name: str) -> None:
    """``typing.get_type_hints`` finds each name that an annotation uses."""
    typing.get_type_hints(ANNOTATED[name])
