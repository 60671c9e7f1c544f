"""The choice of a backend: by argument, use_backend(), environment or platform."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from ._backend import Backend, BackendLike
from ._errors import BackendUnavailableError, NoDefaultBackendError
from ._fork import after_fork_in_child
from ._public import public

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP: Final = "aioteredo.backends"
ENVIRONMENT_VARIABLE: Final = "AIOTEREDO_BACKEND"
PLATFORM_DEFAULT: Final = "iphlpapi" if sys.platform == "win32" else None

_defaults: dict[object, BackendLike] = {}  # of use_backend, the innermost last
_by_name: Final[dict[str, Backend]] = {}

# The names that are being loaded by the caller, by the caller's caller and so on. A
# context variable also reaches the threads of aioteredo that run a part of the call.
_being_loaded: Final[ContextVar[tuple[str, ...]]] = ContextVar(
    "aioteredo_backends_being_loaded", default=()
)


def check_backend(backend: BackendLike) -> None:
    """Refuse what cannot be a backend, before anything is done with it.

    :raises TypeError: if it is neither a name nor an object with a backend's methods
    """
    if not isinstance(backend, str):
        _check_methods(backend)


def _check_methods(backend: object) -> None:
    for method in ("get_port", "subscribe"):
        if isinstance(backend, type) or not callable(getattr(backend, method, None)):
            raise TypeError(
                f"backend must be a backend's name or an object with the methods "
                f"get_port and subscribe, not {backend!r}"
            )


@public
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
        default = _default()
        if default is None:
            from ._availability import usable  # it asks each backend, so it is not light

            raise NoDefaultBackendError(*usable())
        backend, source = default
    if not isinstance(backend, str):
        return backend
    loaded = _by_name.get(backend)
    if loaded is not None:
        return loaded

    # No lock is held here. A factory may ask for another named backend, on this thread
    # or on one that it waits for, and would wait for that lock until the process ends.
    # Two threads may therefore load one name at the same time; setdefault() is atomic,
    # so all of them get the object that was stored first.
    return _by_name.setdefault(backend, _load(backend, source))


def _default() -> tuple[BackendLike, str] | None:
    for backend in list(_defaults.values())[-1:]:
        return backend, "use_backend()"
    if name := os.environ.get(ENVIRONMENT_VARIABLE):
        return name, ENVIRONMENT_VARIABLE
    if PLATFORM_DEFAULT is None:
        return None
    return PLATFORM_DEFAULT, "the platform's default"


def default_name() -> str | None:
    """The name of the backend that is taken if none is named; None: no name is set."""
    default = _default()
    return default[0] if default and isinstance(default[0], str) else None


def names() -> list[str]:
    """The backends that can be named: ours, then those of other packages."""
    return [*BUILT_IN, *(n for n in sorted(_entry_points()) if n not in BUILT_IN)]


def _load(name: str, source: str) -> Backend:
    outer = _being_loaded.get()
    if name in outer:
        path = " -> ".join([*outer, name])
        raise BackendUnavailableError(
            f"{source}={name!r}: the factory of this backend asks for the backend "
            f"itself ({path}); let the factory ask for another backend"
        )

    token = _being_loaded.set((*outer, name))
    try:
        return _make(name, source)
    finally:
        _being_loaded.reset(token)


def _make(name: str, source: str) -> Backend:
    if name in BUILT_IN:
        try:
            return BUILT_IN[name]()
        except ImportError as error:
            raise BackendUnavailableError(
                f"{source}={name!r}: the {name} backend cannot be imported: {error}; "
                "use another backend"
            ) from error

    entry_point = _entry_points().get(name)
    if entry_point is None:
        raise BackendUnavailableError(
            f"{source}={name!r}: there is no such backend; choose from {_choices()}"
        )
    try:
        backend: Backend = entry_point.load()()
        _check_methods(backend)
    except BackendUnavailableError:
        raise
    except Exception as error:
        raise BackendUnavailableError(
            f"{source}={name!r}: {entry_point.value} cannot be used: {error}"
        ) from error
    return backend


# Each function below imports its module by a statement. Tools that freeze a program
# look for such statements, and would leave out a module that is imported by its name.


def _iphlpapi() -> Backend:
    from .backends.iphlpapi import IphlpapiBackend

    return IphlpapiBackend()


def _simulated() -> Backend:
    from .backends.simulated import restarting_client

    return restarting_client()


def _miredo() -> Backend:
    from .backends.miredo import MiredoBackend

    return MiredoBackend()


BUILT_IN: Final[dict[str, Callable[[], Backend]]] = {
    "iphlpapi": _iphlpapi,
    "simulated": _simulated,
    "miredo": _miredo,
}


def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # reads every installed package

    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def _choices() -> str:
    return ", ".join(repr(name) for name in names())


# The threads of these backends stayed in the parent, so a child makes its own.
after_fork_in_child(_by_name.clear)
