"""The function by which aioteredo and its backends start threads."""

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

    :param daemon: True for a thread that ends because of an ``atexit`` hook. The
        interpreter joins other threads before it calls these hooks, and would wait without
        an end
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
        # Free-threaded builds give a new thread a copy of its starter's context. The
        # notifying thread of a client would keep the context variables of the first watcher
        # alive until the last watch is closed. Started in an empty context, it copies none.
        Context().run(thread.start)
    except RuntimeError as error:
        # An isolated subinterpreter of Python 3.11 refuses every thread. Only the text of
        # its error distinguishes it from a system that has no thread left.
        if "subinterpreter" in str(error):
            raise BackendUnavailableError(
                f"aioteredo needs threads, and {error}; use it in the main interpreter"
            ) from error
        raise BackendError("Thread.start", errno.EAGAIN, "errno") from error

    return thread
