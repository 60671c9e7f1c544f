"""The structures and prototypes of the Windows backend are those of the Windows headers."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aioteredo import BackendError
from aioteredo.backends.iphlpapi import _addresses, _tables
from aioteredo.backends.iphlpapi._addresses import AddressFunctions, StableSubscription
from aioteredo.backends.iphlpapi._ports import PortFunctions

from ..support.requirements import require
from ..support.sinks import RecordingSink

COMPILER = "x86_64-w64-mingw32-gcc"

HEADERS = """
#include <stddef.h>
#include <winsock2.h>
#include <ws2ipdef.h>
#include <iphlpapi.h>
"""

C_TYPES: dict[object, str] = {
    None: "VOID",
    ctypes.c_uint32: "DWORD",
    ctypes.c_ushort: "USHORT",
    ctypes.c_ubyte: "BOOLEAN",
    ctypes.c_int: "MIB_NOTIFICATION_TYPE",
    ctypes.c_void_p: "PVOID",
    ctypes.POINTER(ctypes.c_void_p): "HANDLE *",
    ctypes.POINTER(ctypes.c_ushort): "USHORT *",
    ctypes.POINTER(_tables.Row): "MIB_UNICASTIPADDRESS_ROW *",
    _tables.TablePointer: "MIB_UNICASTIPADDRESS_TABLE *",
    ctypes.POINTER(_tables.TablePointer): "MIB_UNICASTIPADDRESS_TABLE **",
}


class RecordingLibrary:
    """A library whose functions fail, and that records their prototypes as C code."""

    handle = 0

    def __init__(self) -> None:
        self.names: list[str] = []
        self.lines: list[str] = []

    def function(
        self, name: str, *argtypes: Any, restype: Any = ctypes.c_uint32
    ) -> Callable[..., int]:
        if name not in self.names:
            # An initializer of another type is an error of the compiler.
            arguments = ", ".join(self._c_type(argtype) for argtype in argtypes)
            variable = f"pointer_{len(self.names)}"
            self.lines.append(
                f"{C_TYPES[restype]} (WINAPI *{variable})({arguments}) = {name};"
            )
            self.names.append(name)
        return lambda *_: 1

    def _c_type(self, argtype: Any) -> str:
        if argtype in C_TYPES:
            return C_TYPES[argtype]

        name = f"callback_{len(self.names)}"
        arguments = ", ".join(C_TYPES[each] for each in argtype._argtypes_)
        self.lines.append(
            f"typedef {C_TYPES[argtype._restype_]} (WINAPI *{name})({arguments});"
        )
        return name


def compile_for_windows(*lines: str) -> None:
    """Check C source with the compiler for 64-bit Windows."""
    compiler = shutil.which(COMPILER)
    require("mingw", None if compiler else f"there is no {COMPILER}")
    assert compiler is not None
    result = subprocess.run(
        [compiler, "-std=gnu11", "-Wall", "-Werror", "-fsyntax-only", "-xc", "-"],
        input="\n".join([HEADERS, *lines, ""]),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


def layout(name: str, structure: type[ctypes.Structure], prefix: str = "") -> Iterator[str]:
    """Yield an assertion about the size of a structure, and about each of its fields."""
    yield f'_Static_assert(sizeof({name}) == {ctypes.sizeof(structure)}, "{name}");'

    for field, _ in structure._fields_:  # type: ignore[misc]
        descriptor: Any = getattr(structure, field)
        member = f"(({name} *)0)->{prefix}{field}"
        yield f'_Static_assert((size_t)&{member} == {descriptor.offset}, "{field}");'
        yield f'_Static_assert(sizeof({member}) == {descriptor.size}, "{field}");'


def test_structures_have_the_layout_of_the_headers() -> None:
    """Each field has the offset and the size that a compiler for Windows gives it."""
    compile_for_windows(
        *layout("SOCKADDR_IN6", _tables.SockaddrIn6),
        *layout("MIB_UNICASTIPADDRESS_ROW", _tables.Row),
        *layout("MIB_UNICASTIPADDRESS_TABLE", _tables.Table),
        '_Static_assert(sizeof(SOCKADDR_INET) == sizeof(SOCKADDR_IN6), "");',
        '_Static_assert(offsetof(SOCKADDR_INET, Ipv6) == 0, "");',
        '_Static_assert(offsetof(SOCKADDR_INET, si_family) == 0, "");',
    )


def test_functions_have_the_prototypes_of_the_headers() -> None:
    """Each function and each callback has the arguments of the headers, in their order."""
    library: Any = RecordingLibrary()
    PortFunctions(library)
    AddressFunctions(library)
    with pytest.raises(BackendError):
        StableSubscription(library, RecordingSink())

    assert sorted(library.names) == [
        "CancelMibChangeNotify2",
        "FreeMibTable",
        "GetTeredoPort",
        "GetUnicastIpAddressTable",
        "NotifyStableUnicastIpAddressTable",
        "NotifyTeredoPortChange",
        "NotifyUnicastIpAddressChange",
    ]
    compile_for_windows(*library.lines)


def test_constants_have_the_values_of_the_headers() -> None:
    """Each number of the backend is the constant whose name it has."""
    constants = {
        "AF_INET6": _tables.AF_INET6,
        "IpDadStatePreferred": _tables._IP_DAD_STATE_PREFERRED,
        "ERROR_IO_PENDING": _addresses._ERROR_IO_PENDING,
    }
    compile_for_windows(
        *(f'_Static_assert({name} == {value}, "");' for name, value in constants.items())
    )
