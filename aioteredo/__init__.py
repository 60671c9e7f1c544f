"""Follow the UDP port of a Teredo client: a native callback as an async iterator."""

from typing import TYPE_CHECKING

from ._backend import BACKEND_CLASSES, Backend, Sink, Subscription, use_backend
from ._errors import BackendError, BackendUnavailableError, TeredoError
from ._events import (
    TEREDO_MULTICAST_ADDRESS,
    TEREDO_MULTICAST_PORT,
    NotificationType,
    PortEvent,
)
from ._watch import PortEventStream, get_teredo_port, watch_teredo_port

if TYPE_CHECKING:
    from .backends.iphlpapi import IphlpapiBackend
    from .backends.miredo import MiredoBackend
    from .backends.simulated import SimulatedBackend

__all__ = [
    "TEREDO_MULTICAST_ADDRESS",
    "TEREDO_MULTICAST_PORT",
    "Backend",
    "BackendError",
    "BackendUnavailableError",
    "IphlpapiBackend",
    "MiredoBackend",
    "NotificationType",
    "PortEvent",
    "PortEventStream",
    "SimulatedBackend",
    "Sink",
    "Subscription",
    "TeredoError",
    "get_teredo_port",
    "use_backend",
    "watch_teredo_port",
]


if not TYPE_CHECKING:  # pragma: no branch - type checkers would believe in every name

    def __getattr__(name: str) -> object:
        # ctypes and sockets are imported with the backend that needs them, not before
        if module := BACKEND_CLASSES.get(name):
            from importlib import import_module

            return getattr(import_module(module), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
