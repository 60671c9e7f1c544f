"""The Windows IP Helper: the port and the addresses of the Teredo client of Windows.

Microsoft describes each function on a page of its name, such as
nf-netioapi-notifyteredoportchange, at learn.microsoft.com/windows/win32/api/netioapi.
"""

from __future__ import annotations

import os

from ..._addresses import TeredoAddress
from ..._backend import AddressSink, Sink
from ..._public import public
from ._addresses import Addresses, AddressFunctions, AddressTable, StableSubscription
from ._library import Library, refuse_subinterpreter
from ._ports import PortFunctions
from ._subscription import ChangeSubscription


@public
class IphlpapiBackend:
    """The Teredo client of Windows.

    :param library: the path of a library with the same functions, to use instead of the
        system's iphlpapi.dll, on any platform. If it lacks a function for addresses, the
        backend still reports the port
    :raises BackendUnavailableError: if the system is not Windows and *library* is not
        given, if the library cannot be loaded or lacks a function for the port, or in a
        subinterpreter
    """

    def __init__(self, library: str | os.PathLike[str] | None = None) -> None:
        refuse_subinterpreter()
        self._library = Library(library)
        self._ports = PortFunctions(self._library)

    def get_port(self) -> int | None:
        """Call GetTeredoPort.

        :return: the port, 1 to 65535, or None: the Teredo client has not been started, or
            IPv6 is disabled
        :raises BackendUnavailableError: if the system has no IPv6
        :raises BackendError: if the function returns another error
        """
        return self._ports.read()

    def subscribe(self, sink: Sink, *, initial: bool) -> ChangeSubscription[int | None]:
        """Call NotifyTeredoPortChange.

        :raises BackendError: if the function returns an error, or if the initial port
            cannot be read
        :raises BackendUnavailableError: if *initial* is true and the system has no IPv6
        """
        return ChangeSubscription(self._ports, sink, initial)

    def get_addresses(self) -> tuple[TeredoAddress, ...]:
        """Call GetUnicastIpAddressTable.

        :return: the addresses for which duplicate address detection has ended
        :raises BackendUnavailableError: if the system has no IPv6, or the library lacks a
            function
        :raises BackendError: if the function returns another error
        """
        return AddressTable(self._library).read()

    def subscribe_addresses(
        self, sink: AddressSink, *, initial: bool
    ) -> ChangeSubscription[Addresses]:
        """Call NotifyUnicastIpAddressChange.

        :raises BackendError: if the function returns an error, or if the initial addresses
            cannot be read
        :raises BackendUnavailableError: if the library lacks a function, or if *initial* is
            true and the system has no IPv6
        """
        return ChangeSubscription(AddressFunctions(self._library), sink, initial)

    def subscribe_stable_addresses(self, sink: AddressSink) -> StableSubscription:
        """Call NotifyStableUnicastIpAddressTable, which wakes a dormant Teredo client.

        :raises BackendError: if the function returns an error
        :raises BackendUnavailableError: if the system has no IPv6, or the library lacks a
            function
        """
        return StableSubscription(self._library, sink)
