"""The table of unicast addresses, as netioapi.h defines it."""

from __future__ import annotations

import ctypes
from typing import Any, Final

from ..._addresses import TeredoAddress

AF_INET6: Final = 23  # of Windows (ws2def.h), on every platform
_IP_DAD_STATE_PREFERRED: Final = 4  # nldef.h
_TEREDO_PREFIX: Final = bytes.fromhex("20010000")


class SockaddrIn6(ctypes.Structure):
    """SOCKADDR_IN6, the largest member of the union SOCKADDR_INET."""

    _fields_ = (
        ("sin6_family", ctypes.c_ushort),
        ("sin6_port", ctypes.c_ushort),
        ("sin6_flowinfo", ctypes.c_uint32),
        ("sin6_addr", ctypes.c_ubyte * 16),
        ("sin6_scope_id", ctypes.c_uint32),
    )


class Row(ctypes.Structure):
    """MIB_UNICASTIPADDRESS_ROW."""

    _fields_ = (
        ("Address", SockaddrIn6),
        ("InterfaceLuid", ctypes.c_uint64),
        ("InterfaceIndex", ctypes.c_uint32),
        ("PrefixOrigin", ctypes.c_int),
        ("SuffixOrigin", ctypes.c_int),
        ("ValidLifetime", ctypes.c_uint32),
        ("PreferredLifetime", ctypes.c_uint32),
        ("OnLinkPrefixLength", ctypes.c_uint8),
        ("SkipAsSource", ctypes.c_ubyte),
        ("DadState", ctypes.c_int),
        ("ScopeId", ctypes.c_uint32),
        ("CreationTimeStamp", ctypes.c_int64),
    )


class Table(ctypes.Structure):
    """MIB_UNICASTIPADDRESS_TABLE. Its array has as many rows as NumEntries says."""

    _fields_ = (
        ("NumEntries", ctypes.c_uint32),
        ("Table", Row * 1),
    )


TablePointer: Final = ctypes.POINTER(Table)


def rows(table: Any) -> ctypes.Array[Row]:
    """Return the rows of *table*, a pointer. They are valid until the table is freed."""
    address = ctypes.addressof(table.contents) + Table.Table.offset
    array: ctypes.Array[Row] = (Row * table.contents.NumEntries).from_address(address)
    return array


def teredo_addresses(table: Any) -> tuple[TeredoAddress, ...]:
    """Return the Teredo addresses of *table* that can be used.

    :param table: a pointer; NULL is a table without rows
    """
    if not table:
        return ()
    return tuple(
        TeredoAddress(bytes(row.Address.sin6_addr))
        for row in rows(table)
        if row.DadState == _IP_DAD_STATE_PREFERRED and _is_teredo(row)
    )


def is_other_address(row: Any) -> bool:
    """Return whether *row*, a pointer, contains an address that is not Teredo's.

    The row of a callback is incomplete, and may be NULL.
    """
    if not row or row.contents.Address.sin6_family != AF_INET6:
        return False
    return not _is_teredo(row.contents)


def _is_teredo(row: Row) -> bool:
    return bytes(row.Address.sin6_addr).startswith(_TEREDO_PREFIX)
