"""Follow the UDP port of a Teredo client: a native callback as an async iterator."""

# Type checkers treat this name like typing.TYPE_CHECKING. typing takes time to import, and
# Ctrl-C prints a traceback if it comes before the command's own code runs.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._address_watch import (
        AddressEventStream,
        get_teredo_addresses,
        watch_teredo_addresses,
    )
    from ._addresses import TeredoAddress
    from ._backend import (
        AddressBackend,
        AddressSink,
        Backend,
        BackendLike,
        Sink,
        Subscription,
    )
    from ._backend_failed import BackendFailedError
    from ._errors import BackendError, BackendUnavailableError, TeredoError
    from ._events import (
        TEREDO_MULTICAST_ADDRESS,
        TEREDO_MULTICAST_PORT,
        AddressEvent,
        NotificationType,
        PortEvent,
    )
    from ._port_watch import PortEventStream, get_teredo_port, watch_teredo_port
    from ._selection import use_backend
    from ._sharing import share
    from .backends.iphlpapi import IphlpapiBackend
    from .backends.miredo import MiredoBackend
    from .backends.simulated import SimulatedBackend

__version__ = "0.1.0"  # a literal, so that a frozen program without metadata has it

__all__ = [
    "TEREDO_MULTICAST_ADDRESS",
    "TEREDO_MULTICAST_PORT",
    "AddressBackend",
    "AddressEvent",
    "AddressEventStream",
    "AddressSink",
    "Backend",
    "BackendError",
    "BackendFailedError",
    "BackendLike",
    "BackendUnavailableError",
    "IphlpapiBackend",
    "MiredoBackend",
    "NotificationType",
    "PortEvent",
    "PortEventStream",
    "SimulatedBackend",
    "Sink",
    "Subscription",
    "TeredoAddress",
    "TeredoError",
    "get_teredo_addresses",
    "get_teredo_port",
    "share",
    "use_backend",
    "watch_teredo_addresses",
    "watch_teredo_port",
]

# A name is imported when it is first used. A command that asks for the port once needs no
# event loop, and importing one would delay the command.

# A type checker that saw __getattr__ would accept every name.
if not TYPE_CHECKING:  # pragma: no branch

    def __getattr__(name: str) -> object:
        # Each module is imported by a statement. Tools that freeze a program look for
        # such statements, and would leave out a module that is imported by its name.
        match name:
            case "AddressEventStream" | "get_teredo_addresses" | "watch_teredo_addresses":
                from . import _address_watch as module
            case "TeredoAddress":
                from . import _addresses as module
            case (
                "AddressBackend"
                | "AddressSink"
                | "Backend"
                | "BackendLike"
                | "Sink"
                | "Subscription"
            ):
                from . import _backend as module
            case "use_backend":
                from . import _selection as module
            case "share":
                from . import _sharing as module
            case "BackendError" | "BackendUnavailableError" | "TeredoError":
                from . import _errors as module
            case (
                "AddressEvent"
                | "NotificationType"
                | "PortEvent"
                | "TEREDO_MULTICAST_ADDRESS"
                | "TEREDO_MULTICAST_PORT"
            ):
                from . import _events as module
            case "BackendFailedError":
                from . import _backend_failed as module
            case "PortEventStream" | "get_teredo_port" | "watch_teredo_port":
                from . import _port_watch as module
            case "IphlpapiBackend":
                from .backends import iphlpapi as module
            case "MiredoBackend":
                from .backends import miredo as module
            case "SimulatedBackend":
                from .backends import simulated as module
            case _:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

        value = getattr(module, name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted(__all__)
