"""The public function ``share``, and the backend that it returns.

Each backend that is given by its name is wrapped by the same class.
"""

from __future__ import annotations

from typing import Any

from ._address_backend import ADDRESS_METHODS
from ._backend import Backend
from ._checks import check_backend_methods
from ._public import public
from ._shared_subscription import SharedSubscribe


@public
def share(backend: Backend) -> Backend:
    """Return a backend that registers once with *backend*, for any number of watches.

    A backend that is given by its name, or is the platform's default, is shared already.
    This function is for a backend that is passed as an object. Keep the result and pass it
    to each watch: two results for one backend register twice.

    The first watch registers, and the last one to be closed cancels. The others open and
    close without a thread. The watches may belong to any event loops and threads.

    The watches for ports and those for addresses have a registration each.

    The initial event of a later watch carries the value of the last notification; the value
    is read only if there has been none. If the backend fails, each watch raises an
    exception of its own, and the next watch registers again. If the system refuses to
    cancel, only the watch that is closed last raises.

    :return: the shared backend, or *backend* itself if it is one already
    :raises TypeError: if *backend* is not an object with a backend's methods
    """
    if isinstance(backend, str):
        raise TypeError(
            f"share() takes a backend object, but the name {backend!r} stands for a shared "
            "backend already; pass the name itself to each watch"
        )
    check_backend_methods(backend)
    return backend if isinstance(backend, SharedBackend) else SharedBackend(backend)


class SharedBackend:
    """A backend whose watches share one registration with the inner backend."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.subscribe = SharedSubscribe(inner.subscribe, inner.get_port)

        # A backend need not report addresses. Each wait for stable addresses has a
        # registration of its own, because the backend pushes to it only once.
        methods: dict[str, Any] = {
            name: method
            for name in ADDRESS_METHODS
            if callable(method := getattr(inner, name, None))
        }
        if len(methods) == len(ADDRESS_METHODS):
            methods["subscribe_addresses"] = SharedSubscribe(
                methods["subscribe_addresses"], methods["get_addresses"]
            )
        vars(self).update(methods)

    def __repr__(self) -> str:
        return f"share({self.inner!r})"

    def get_port(self) -> int | None:
        """Return the port of the inner backend."""
        return self.inner.get_port()
