"""What a backend is, and which one is meant.

A backend is chosen by the first of: the ``backend`` argument, :func:`use_backend`, the
environment variable ``AIOTEREDO_BACKEND``, the platform's default. It is given as an
object or by name; a name is looked up late and once, so that a program pays only for
the backend that it uses, and ``watch_teredo_port(backend="simulated")`` and
``get_teredo_port(backend="simulated")`` speak of the same Teredo client.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, cast

from ._errors import BackendError, BackendUnavailableError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP: Final = "aioteredo.backends"
ENVIRONMENT_VARIABLE: Final = "AIOTEREDO_BACKEND"
PLATFORM_DEFAULT: Final = "iphlpapi" if sys.platform == "win32" else None

BUILT_IN: Final = {  # name: module, what to call
    "iphlpapi": ("aioteredo.backends.iphlpapi", "IphlpapiBackend"),
    "simulated": ("aioteredo.backends.simulated", "restarting_client"),
    "miredo": ("aioteredo.backends.miredo", "MiredoBackend"),
}


class Sink(Protocol):
    """Where a backend delivers notifications. Never blocks, never raises."""

    def push(self, port: int | None, notification_type: int) -> None:
        """Deliver a notification. From any thread, but one call at a time.

        :param port: 1 to 65535, or None: the Teredo client has no port now
        :param notification_type: a value of :class:`NotificationType`
        """

    def fail(self, error: BackendError) -> None:
        """Say that nothing more will be delivered. From any thread, after any push."""


class Subscription(Protocol):
    """A registration for notifications."""

    def cancel(self) -> None:
        """Take back the registration. Called once, and never on the notifying thread.

        Returns when no push is running and none can start.

        :raises BackendError: if the system refuses; nothing is pushed even then
        """


class Backend(Protocol):
    """A source of Teredo port notifications. Its methods may block, in any thread."""

    def get_port(self) -> int | None:
        """The UDP port, 1 to 65535, or None: the Teredo client has none.

        :raises BackendError: if the port cannot be read
        :raises BackendUnavailableError: if this system has no Teredo client
        """

    def subscribe(self, sink: Sink, *, initial: bool) -> Subscription:
        """Register *sink*: every change from now on is pushed, one at a time.

        A push may come before this returns, also on the calling thread. If this raises,
        nothing is registered.

        :param initial: push the current port with ``NotificationType.INITIAL`` before
            this returns, in order with the changes
        :raises BackendError: if the system refuses
        :raises BackendUnavailableError: if this system has no Teredo client
        """


BackendLike: TypeAlias = Backend | str

_defaults: dict[object, BackendLike] = {}  # of use_backend, the innermost last
_by_name: dict[str, Backend] = {}
_by_name_lock = threading.Lock()


def check_backend(backend: BackendLike) -> None:
    """Refuse what cannot be a backend, before anything is done with it.

    :raises TypeError: if it is neither a name nor an object with a backend's methods
    """
    if isinstance(backend, str):
        return
    for method in ("get_port", "subscribe"):
        if isinstance(backend, type) or not callable(getattr(backend, method, None)):
            raise TypeError(
                f"backend must be a backend's name or an object with the methods "
                f"get_port and subscribe, not {backend!r}"
            )


def use_backend(backend: BackendLike) -> AbstractContextManager[None]:
    """Make *backend* the default of the whole process inside a ``with`` block.

    For tests and programs. Blocks may be nested, the innermost wins; all threads see it.

    :raises TypeError: if it is neither a name nor an object with a backend's methods
    """
    check_backend(backend)
    return _use_backend(backend)


@contextmanager
def _use_backend(backend: BackendLike) -> Iterator[None]:
    block = object()
    _defaults[block] = backend  # blocks of two threads need not nest: each has a key
    try:
        yield
    finally:
        del _defaults[block]


def resolve(backend: BackendLike | None) -> Backend:
    """The backend that is meant. May import and load, so it is called off the loop.

    :raises BackendUnavailableError: if there is no such backend, or not on this system
    """
    source = "backend"
    if backend is None:
        backend, source = _default()
    if not isinstance(backend, str):
        return backend
    with _by_name_lock:
        if backend not in _by_name:
            _by_name[backend] = _load(backend, source)
        return _by_name[backend]


def _default() -> tuple[BackendLike, str]:
    for backend in list(_defaults.values())[-1:]:
        return backend, "use_backend()"
    if name := os.environ.get(ENVIRONMENT_VARIABLE):
        return name, ENVIRONMENT_VARIABLE
    if PLATFORM_DEFAULT is None:
        raise BackendUnavailableError(
            f"no Teredo backend is chosen by itself on {sys.platform}: name one with "
            f"the argument backend (--backend of the command), with use_backend() or in "
            f"{ENVIRONMENT_VARIABLE} ({_choices()})"
        )
    return PLATFORM_DEFAULT, "the platform's default"


def default_name() -> str | None:
    """The name of the backend that is taken if none is named; None: no name is set."""
    try:
        backend, _ = _default()
    except BackendUnavailableError:
        return None
    return backend if isinstance(backend, str) else None


def names() -> list[str]:
    """The backends that can be named: ours, then those of other packages."""
    return [*BUILT_IN, *(n for n in sorted(_entry_points()) if n not in BUILT_IN)]


def _load(name: str, source: str) -> Backend:
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name]
        return cast("Backend", getattr(import_module(module), attribute)())
    entry_point = _entry_points().get(name)
    if entry_point is None:
        raise BackendUnavailableError(
            f"{source}={name!r}: there is no such backend; choose from {_choices()}"
        )
    try:
        backend: Backend = entry_point.load()()
        check_backend(backend)
    except BackendUnavailableError:
        raise
    except Exception as error:
        raise BackendUnavailableError(
            f"{source}={name!r}: {entry_point.value} cannot be used: {error}"
        ) from error
    return backend


def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # reads every installed package

    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _choices() -> str:
    return ", ".join(repr(name) for name in names())


def _forget_after_fork() -> None:
    global _by_name_lock
    _by_name.clear()  # their threads stayed in the parent
    _by_name_lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_forget_after_fork)
