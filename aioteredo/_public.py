"""A decorator for the classes and functions that users see."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T", bound=Any)


def public(definition: T) -> T:
    """Set the module of *definition* to ``aioteredo``, from where users import it.

    Otherwise tracebacks, reprs and pickles would name the private module, and a pickle
    could not be loaded after the definition has moved to another module.
    """
    definition.__module__ = "aioteredo"
    return definition
