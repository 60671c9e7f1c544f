"""Starting a thread: the one place where aioteredo and its backends do it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextvars import Context
from threading import Thread

from ._errors import BackendError, BackendUnavailableError


def start_thread(
    target: Callable[[], object], *, name: str = "aioteredo", daemon: bool = False
) -> Thread:
    """Start a thread that runs *target* in an empty :mod:`contextvars` context.

    :param daemon: True for a thread that the interpreter must not join before it runs
        its ``atexit`` hooks, because only such a hook makes the thread end
    :raises BackendError: EAGAIN, if the system refuses another thread
    :raises BackendUnavailableError: if *daemon* is true in a subinterpreter that does
        not allow daemon threads, or in a subinterpreter that allows no threads at all
    """
    try:
        thread = Thread(target=target, name=name, daemon=daemon)
    except RuntimeError as error:  # Thread() raises it for a daemon thread only
        raise BackendUnavailableError(
            f"this backend needs a daemon thread, and {error}; use it in the main "
            "interpreter"
        ) from error

    try:
        # Free-threaded builds give a new thread a copy of its starter's context. A
        # notifying thread would keep the values of the first watcher's request alive
        # for as long as anyone watches. Started from an empty context, it copies that.
        Context().run(thread.start)
    except RuntimeError as error:
        # An isolated subinterpreter of Python 3.11 refuses every thread, and the text
        # is all that tells this from a system without another thread.
        if "subinterpreter" in str(error):
            raise BackendUnavailableError(
                f"aioteredo needs threads, and {error}; use it in the main interpreter"
            ) from error
        raise BackendError("Thread.start", errno.EAGAIN, "errno") from error

    return thread
