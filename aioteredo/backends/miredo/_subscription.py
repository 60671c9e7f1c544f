"""A watch of the kernel: one thread that reads a source when the kernel has an event."""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

from ..._backend import SinkOf
from ..._errors import BackendError, BackendUnavailableError, failure
from ..._events import NotificationType
from ..._fork import after_fork_in_child
from ..._new_thread import start_thread
from ._netlink import as_backend_error
from ._source import Resources, Source

T = TypeVar("T")

_CANCELLED: Final = object()

_subscriptions: Final[set[MiredoSubscription[Any]]] = set()


class MiredoSubscription(Generic[T]):
    """A registration of a sink, with the thread that pushes to it.

    :param open_source: makes the source, whose sockets it adds to its argument
    """

    def __init__(
        self, open_source: Callable[[Resources], Source[T]], sink: SinkOf[T], initial: bool
    ) -> None:
        self._sink = sink
        self._resources = Resources()
        _subscriptions.add(self)
        try:
            self._source = open_source(self._resources)
            self._open()

            value = self._source.first()
            if initial:
                sink.push(value, NotificationType.INITIAL)

            # A daemon, because the interpreter joins all other threads before its atexit
            # hooks run, and one of the hooks cancels the last watch and ends this thread.
            self._thread = start_thread(self._run, name="aioteredo miredo", daemon=True)
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        with as_backend_error("socketpair"):
            waker, woken = socket.socketpair()
        self._waker = self._resources.keep(waker)
        self._woken = self._resources.keep(woken)

        with as_backend_error("epoll_create1"):
            self._selector = self._resources.keep(selectors.DefaultSelector())
        for listener in self._source.listeners:
            self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ, _CANCELLED)

    def cancel(self) -> None:
        """End the thread and close the sockets.

        Can be called again if an exception of a signal handler interrupted the call.
        """
        # Already cancelled, or closed in the child of a fork.
        if self not in _subscriptions:
            return

        # If close() was interrupted, one or both ends are closed. The thread has ended
        # before that.
        if self._waker.fileno() >= 0:
            with suppress(ConnectionError):
                self._waker.send(b"\0")

                # The thread's end is read from the socket, because it can be read again
                # after an interruption. Up to Python 3.12, a join() that was interrupted
                # marks the thread as ended, and the next one returns while the thread
                # still pushes and uses the descriptors. A threading.Event is not safe
                # either: a wait() that was interrupted can leave it locked.
                self._waker.recv(1)

        self._thread.join()
        self.close()

    def close(self) -> None:
        """Close the sockets of this process. Can be repeated."""
        # The subscription stays in the table until everything is closed. So cancel() calls
        # this again if Ctrl-C has interrupted it, and each resource can be closed twice.
        self._resources.close()
        _subscriptions.discard(self)

    # Called on the thread

    def _run(self) -> None:
        try:
            self._watch()
        except BackendError as error:
            self._sink.fail(error)
        except BaseException as error:  # noqa: BLE001 - the sink gets it
            unavailable = isinstance(error, BackendUnavailableError)
            code = errno.EACCES if unavailable else errno.EIO
            self._sink.fail(failure("MiredoBackend", code, "errno", error))
        finally:
            self._woken.shutdown(socket.SHUT_WR)  # cancel() waits for this

    def _watch(self) -> None:
        while True:
            ready = self._selector.select(self._source.timeout())
            if any(key.data is _CANCELLED for key, _ in ready):
                return

            for value in self._source.changes():
                self._sink.push(value, NotificationType.PARAMETER)


def _close_after_fork() -> None:  # pragma: no cover - it runs in the child
    # The threads stay in the parent process, so only the descriptors are closed here.
    for subscription in list(_subscriptions):
        subscription.close()


after_fork_in_child(_close_after_fork)
