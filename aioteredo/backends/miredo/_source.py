"""The interface between a watch and the kernel's tables that it reads.

A subscription has the thread, and a source has the knowledge of one kind of values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Protocol, TypeVar

from ._listener import Listener

T_co = TypeVar("T_co", covariant=True)


class Source(Protocol[T_co]):
    """A reader of the values of one kind.

    An event only says that the value may have changed. The source then reads the value
    from a table of the kernel.
    """

    @property
    def listeners(self) -> Sequence[Listener]:
        """The sockets whose events make a call of :meth:`changes` necessary.

        They are bound when the source has been made, so the events of every change after
        :meth:`first` are received.
        """

    def first(self) -> T_co:
        """Return the current value. Called once, before the other methods."""

    def timeout(self) -> float | None:
        """Return the seconds until :meth:`changes` is due without an event, or None."""

    def changes(self) -> Iterator[T_co]:
        """Receive the events that are waiting, and return the values after them."""


class Resource(Protocol):
    """An object that must be closed, and can be closed again."""

    def close(self) -> None: ...


R = TypeVar("R", bound=Resource)


class Resources:
    """The sockets of a watch, which are closed together."""

    def __init__(self) -> None:
        self._resources: list[Resource] = []

    def keep(self, resource: R) -> R:
        """Add *resource*, and return it."""
        self._resources.append(resource)
        return resource

    def close(self) -> None:
        """Close all of them, even if one cannot be closed. Can be repeated."""
        with ExitStack() as stack:
            for resource in self._resources:
                stack.callback(resource.close)
