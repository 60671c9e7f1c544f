"""System calls that the kernel refuses, as under the restrictions of a service manager.

The filter applies to one thread and to the processes that it starts, until they end.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Callable
from typing import Any

import pytest

from .waiting import join, start_thread

libc = ctypes.CDLL(None, use_errno=True)

SYSTEM_CALLS = {
    "x86_64": {"socket": 41, "bind": 49},
    "aarch64": {"socket": 198, "bind": 200},
}


def refuse(system_call: str, code: int, first_argument: int | None = None) -> None:
    """Make the kernel refuse a system call of this thread, as systemd would.

    :param code: the errno of the refused call
    :param first_argument: refuse only the calls with this first argument
    """
    if platform.machine() not in SYSTEM_CALLS:
        pytest.skip("the numbers of the system calls are not known here")

    set_no_new_privs = 38
    set_seccomp = 22
    mode_filter = 2
    number = SYSTEM_CALLS[platform.machine()][system_call]
    program = [
        (0x20, 0, 0, 0),  # load the system call's number
        (0x15, 0, 3, number),
        (0x20, 0, 0, 16),  # load its first argument
        (0x15, 0, 1, first_argument or 0),
        (0x06, 0, 0, 0x00050000 | code),  # SECCOMP_RET_ERRNO
        (0x06, 0, 0, 0x7FFF0000),  # SECCOMP_RET_ALLOW
    ]
    if first_argument is None:
        program[1:4] = [(0x15, 0, 1, number)]

    memory = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    code_at = ctypes.create_string_buffer(memory, len(memory))
    fprog = struct.pack("HP", len(program), ctypes.addressof(code_at))

    call("prctl", set_no_new_privs, 1, 0, 0, 0)
    call("prctl", set_seccomp, mode_filter, ctypes.create_string_buffer(fprog), 0, 0)


def on_a_thread(function: Callable[[], None]) -> None:
    """Run *function* on a thread that ends with it, and raise its exception."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised by the caller
            raised.append(error)

    join(start_thread(work))
    for error in raised:
        raise error


def call(function: str, *arguments: Any) -> None:
    """Call a function of the C library, and raise OSError if it fails."""
    if getattr(libc, function)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{function}: {os.strerror(code)}")
