"""The exception of a stream whose backend has failed."""

from __future__ import annotations

from anyio import BrokenResourceError

from ._errors import BackendError
from ._public import public


@public
class BackendFailedError(BackendError, BrokenResourceError):
    """The backend failed after it had registered the watch; no more events will come.

    A :exc:`BackendError`, and the class that anyio's streams raise when the other end has
    broken. ``__cause__`` is the exception that made the backend fail, if there was one.
    """


def failure_of_stream(error: BackendError) -> BackendFailedError:
    """Return the exception of a stream whose backend has failed with *error*."""
    # A new object each time. If several tasks, or one task twice, raised the same
    # exception, their tracebacks, contexts and notes would be mixed in it.
    failure = BackendFailedError(error.function, error.code, error.table)
    failure.__cause__ = error.__cause__ if type(error) is BackendError else error
    for note in getattr(error, "__notes__", ()):
        failure.add_note(note)
    return failure
