"""One exception object for each task that gets the same failure."""

from __future__ import annotations

from typing import TypeVar

from ._errors import BackendError

E = TypeVar("E", bound=BackendError)


def copy_error(error: E) -> E:
    """Return a new exception that says the same as *error*.

    The copy has the class, the arguments, the attributes and the cause of *error*, and
    a list of notes of its own. It has neither a traceback nor a context: raising one
    object in several tasks would mix up the tracebacks and the contexts of all of them.
    """
    # A subclass may define __init__ with other parameters, so copy.copy(), which calls
    # it with those of BackendError, could fail. OSError's own __init__ sets errno and
    # strerror from the arguments, and the attributes of BackendError are in __dict__.
    copied = type(error).__new__(type(error))
    OSError.__init__(copied, *error.args)
    copied.__dict__.update(error.__dict__)

    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        copied.__notes__ = list(notes)

    copied.__cause__ = error.__cause__
    copied.__suppress_context__ = error.__suppress_context__  # the line above set it
    return copied
