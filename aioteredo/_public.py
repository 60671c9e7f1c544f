"""A decorator for the classes and functions that users see."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T", bound=Any)


def public(definition: T) -> T:
    """Let *definition* say that it belongs to ``aioteredo``, where users import it from.

    Tracebacks, reprs and pickles would name the private module otherwise, and a pickle
    could not be loaded any more once the definition has moved to another module.
    """
    definition.__module__ = "aioteredo"
    return definition
