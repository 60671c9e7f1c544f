"""The functions for addresses: GetUnicastIpAddressTable and two Notify functions.

They report every IPv6 address of the machine. The addresses in 2001::/32 are Teredo's.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final, TypeAlias

from ..._addresses import TeredoAddress
from ..._backend import SinkOf
from ..._errors import ERROR_NOT_FOUND
from ._library import CALLBACK, Library, reading_error
from ._subscription import INITIAL, NativeSubscription, on_notification, permanent
from ._tables import AF_INET6, Row, TablePointer, is_other_address, teredo_addresses

Addresses: TypeAlias = tuple[TeredoAddress, ...]

_ERROR_IO_PENDING: Final = 997  # winerror.h; a request has begun, so this is not an error

# VOID WINAPI callback(PVOID CallerContext, PMIB_UNICASTIPADDRESS_ROW Row,
#     MIB_NOTIFICATION_TYPE)
_CHANGE_CALLBACK_TYPE: Final = CALLBACK(
    None, ctypes.c_void_p, ctypes.POINTER(Row), ctypes.c_int
)

# VOID WINAPI callback(PVOID CallerContext, PMIB_UNICASTIPADDRESS_TABLE AddressTable)
_STABLE_CALLBACK_TYPE: Final = CALLBACK(None, ctypes.c_void_p, TablePointer)


class AddressTable:
    """GetUnicastIpAddressTable and FreeMibTable of *library*.

    :raises BackendUnavailableError: if the library lacks one of them
    """

    def __init__(self, library: Library) -> None:
        self._get = library.function(
            "GetUnicastIpAddressTable", ctypes.c_ushort, ctypes.POINTER(TablePointer)
        )
        self._free = library.function("FreeMibTable", ctypes.c_void_p, restype=None)

    def read(self) -> Addresses:
        """Return the Teredo addresses that can be used now."""
        table = TablePointer()
        try:
            code = self._get(AF_INET6, ctypes.byref(table))
            _check_table("GetUnicastIpAddressTable", code)
            return teredo_addresses(table)
        finally:
            self.free(table)

    def free(self, table: Any) -> None:
        """Free *table*, a pointer, which is NULL if no function has allocated a table."""
        if table:
            self._free(table)


def _check_table(function: str, code: int) -> None:
    """Check the error code of a function that returns a table."""
    if code not in (0, ERROR_NOT_FOUND):  # not found: the machine has no IPv6 address
        raise reading_error(function, code)


# The changes of the addresses


def _on_address_change(caller_context: int, row: Any, notification_type: int) -> None:
    if not is_other_address(row):
        on_notification(caller_context, row, notification_type)


_change_callback: Final = permanent(_CHANGE_CALLBACK_TYPE(_on_address_change))


class AddressFunctions(AddressTable):
    """The functions of *library* that report the changes of the addresses.

    :raises BackendUnavailableError: if the library lacks one of them
    """

    notify_name = "NotifyUnicastIpAddressChange"
    callback_name = "PUNICAST_IPADDRESS_CHANGE_CALLBACK"

    def __init__(self, library: Library) -> None:
        super().__init__(library)
        self._notify = library.function(
            self.notify_name,
            ctypes.c_ushort,
            _CHANGE_CALLBACK_TYPE,
            ctypes.c_void_p,
            ctypes.c_ubyte,  # BOOLEAN is one byte
            ctypes.POINTER(ctypes.c_void_p),
        )
        self.cancel = library.function("CancelMibChangeNotify2", ctypes.c_void_p)

    def notify(self, token: int, initial: bool, handle: Any) -> int:
        """Call NotifyUnicastIpAddressChange, and return its error code."""
        code: int = self._notify(AF_INET6, _change_callback, token, initial, handle)
        return code

    def value(self, _row: Any) -> Addresses:
        """Return all addresses, because the row of a callback is incomplete.

        The row lacks the state of its address. Microsoft's page has the callback ask for
        the state by a function of this family, so such a call cannot deadlock. It forbids
        only CancelMibChangeNotify2 in a callback.
        """
        return self.read()


# The stable addresses


# The native callback for each library, by the handle of the library. The callback gets a
# table that it must free, by the library that has allocated the table. A callback that
# comes after its subscription was cancelled finds no entry that could name the library.
_stable_callbacks: Final[dict[int, Any]] = {}


def _stable_callback(library: Library) -> Any:
    """Return the callback of *library* for NotifyStableUnicastIpAddressTable."""
    callback = _stable_callbacks.get(library.handle)
    if callback is None:
        free = AddressTable(library).free

        def on_stable_table(caller_context: int, table: Any) -> None:
            try:
                on_notification(caller_context, table, INITIAL)
            finally:
                free(table)

        # If two threads come here at the same time, both get the callback of the first.
        callback = permanent(_STABLE_CALLBACK_TYPE(on_stable_table))
        callback = _stable_callbacks.setdefault(library.handle, callback)
    return callback


class StableSubscription(NativeSubscription[Addresses]):
    """A request for the addresses as soon as they are stable.

    :raises BackendUnavailableError: if *library* lacks a function, or the system has no
        IPv6
    """

    def __init__(self, library: Library, sink: SinkOf[Addresses]) -> None:
        self._free = AddressTable(library).free
        self._callback = _stable_callback(library)
        self._notify_stable = library.function(
            "NotifyStableUnicastIpAddressTable",
            ctypes.c_ushort,
            ctypes.POINTER(TablePointer),
            _STABLE_CALLBACK_TYPE,
            ctypes.c_void_p,
            ctypes.POINTER(ctypes.c_void_p),
        )
        super().__init__(
            sink,
            library.function("CancelMibChangeNotify2", ctypes.c_void_p),
            "PSTABLE_UNICAST_IPADDRESS_TABLE_CALLBACK",
        )

    def _register(self, handle: ctypes.c_void_p) -> None:
        table = TablePointer()
        try:
            code = self._notify_stable(
                AF_INET6,
                ctypes.byref(table),
                self._callback,
                self._token,
                ctypes.byref(handle),
            )
            if code == _ERROR_IO_PENDING:
                self._check_registration("NotifyStableUnicastIpAddressTable", 0)
                return

            # The addresses are stable already, or there is an error. In both cases no
            # callback will come, and there is nothing to cancel.
            self._handle = None
            _check_table("NotifyStableUnicastIpAddressTable", code)
            self.notify(table, INITIAL)
        finally:
            self._free(table)

    def _push(self, sink: SinkOf[Addresses], table: Any, notification_type: int) -> None:
        sink.push(teredo_addresses(table), notification_type)
