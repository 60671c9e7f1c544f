"""The choice of a backend: by argument, use_backend(), environment or platform."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from ._backend import Backend, BackendLike
from ._checks import check_backend_methods
from ._errors import BackendUnavailableError, NoDefaultBackendError
from ._fork import after_fork_in_child
from ._public import public
from ._sharing import share

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP: Final = "aioteredo.backends"
ENVIRONMENT_VARIABLE: Final = "AIOTEREDO_BACKEND"
PLATFORM_DEFAULT: Final = "iphlpapi" if sys.platform == "win32" else None

# The backends of the use_backend() blocks that are open now, the innermost one last.
_defaults: dict[object, BackendLike] = {}

# The backends that have been loaded, so that a name always stands for the same client. Each
# is shared: all watches of a name have one registration.
_by_name: Final[dict[str, Backend]] = {}

# The names whose factories are running in this context, the outermost one first. A thread
# of aioteredo that runs a part of the call has a copy of the context.
_being_loaded: Final[ContextVar[tuple[str, ...]]] = ContextVar(
    "aioteredo_backends_being_loaded", default=()
)


def check_backend(backend: BackendLike) -> None:
    """Check an argument that is a backend or its name.

    :raises TypeError: if *backend* is neither a name nor an object with a backend's methods
    """
    if not isinstance(backend, str):
        check_backend_methods(backend)


@public
def use_backend(backend: BackendLike) -> AbstractContextManager[None]:
    """Make *backend* the default of the whole process inside a ``with`` block.

    All threads see the default. If blocks are nested, the innermost one counts. The block
    takes precedence over ``AIOTEREDO_BACKEND``, and an argument ``backend`` over both.

    :param backend: a backend or its name
    :raises TypeError: if *backend* is neither a name nor a backend
    """
    check_backend(backend)
    return _use_backend(backend)


@contextmanager
def _use_backend(backend: BackendLike) -> Iterator[None]:
    # Two threads can open blocks that overlap without being nested. Each block has a key
    # of its own, so that it removes its own default only.
    block = object()
    _defaults[block] = backend
    try:
        yield
    finally:
        del _defaults[block]


def resolve(backend: BackendLike | None) -> Backend:
    """Return the backend for an argument, or the default one for None.

    A backend that is given by its name is shared. This may import modules and load a native
    library, so it is not called in a loop.

    :raises BackendUnavailableError: if no backend has the name, or it cannot work here
    """
    source = "backend"
    if backend is None:
        default = _default()
        if default is None:
            from ._availability import usable_names  # it imports this module

            raise NoDefaultBackendError(*usable_names())
        backend, source = default

    if not isinstance(backend, str):
        return backend
    loaded = _by_name.get(backend)
    if loaded is not None:
        return loaded

    # No lock is held while the backend is loaded. Its factory may ask for another named
    # backend, on a thread that it waits for, and that thread would wait for the lock.
    # Two threads can therefore load one name at the same time. setdefault() is atomic, so
    # both get the object that was stored first.
    return _by_name.setdefault(backend, share(_load(backend, source)))


def resolve_if_loaded(backend: BackendLike | None) -> Backend | None:
    """Return the backend of resolve(), or None if that would load a backend or raise.

    This neither blocks nor raises, so it may be called in a loop.
    """
    if backend is None:
        default = _default()
        backend = "" if default is None else default[0]
    return _by_name.get(backend) if isinstance(backend, str) else backend


def _default() -> tuple[BackendLike, str] | None:
    """Return the default backend, and the setting that it comes from."""
    open_blocks = list(_defaults.values())
    if open_blocks:
        return open_blocks[-1], "use_backend()"

    if name := os.environ.get(ENVIRONMENT_VARIABLE):
        return name, ENVIRONMENT_VARIABLE

    if PLATFORM_DEFAULT is None:
        return None
    return PLATFORM_DEFAULT, "the platform's default"


def default_backend_name() -> str | None:
    """Return the name of the default backend.

    The result is None if there is no default, or if it is an object of use_backend().
    """
    default = _default()
    if default is None:
        return None
    backend, _ = default
    return backend if isinstance(backend, str) else None


def backend_names() -> list[str]:
    """Return the names of all backends: first the built-in ones, then other packages'."""
    return [*BUILT_IN, *sorted(_entry_points().keys() - BUILT_IN.keys())]


def _load(name: str, source: str) -> Backend:
    """Make the backend of a name, unless its factory is running already.

    :param source: the setting that the name comes from, for the text of an error
    """
    outer = _being_loaded.get()
    if name in outer:
        path = " -> ".join([*outer, name])
        raise BackendUnavailableError(
            f"{source}={name!r}: the factory of this backend asks for the backend "
            f"itself ({path}); change the factory so that it asks for another backend"
        )

    token = _being_loaded.set((*outer, name))
    try:
        return _make_backend(name, source)
    finally:
        _being_loaded.reset(token)


def _make_backend(name: str, source: str) -> Backend:
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
            f"{source}={name!r}: there is no such backend; choose from "
            f"{', '.join(map(repr, backend_names()))}"
        )
    try:
        backend: Backend = entry_point.load()()
        check_backend_methods(backend)
    except BackendUnavailableError:
        raise
    except Exception as error:
        raise BackendUnavailableError(
            f"{source}={name!r}: {entry_point.value} cannot be used: {error}; repair "
            "that package, or use another backend"
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
    # Not imported at the top: most programs name no backend of another package, and this
    # module takes time to import.
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


# A forked child does not have the threads of its parent's backends, so it loads its own.
after_fork_in_child(_by_name.clear)
