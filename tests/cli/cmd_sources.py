"""Python code that the tests of ``exec`` run as CMD."""

from __future__ import annotations

import sys
from typing import Final

from ..support.runs import Runs

MEMBER_OF_ANOTHER_USER: Final = """
import os, signal, socket, sys
if os.fork():
    signal.pause()
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    os.setuid(65534)
    connection.sendall(repr((os.getpid(), ["", "", ""])).encode() + b"\\n")
    connection.recv(1)
"""
"""A leader that waits for a signal, and a child in its group that becomes another user."""

WITHOUT_ITS_FIRST_THREAD: Final = """
import ctypes, os, signal, socket, sys, threading
if os.fork():
    signal.pause()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def go_on():
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        while open(f"/proc/{os.getpid()}/stat").read().rpartition(") ")[2][0] != "Z":
            pass
        connection.sendall(repr((os.getpid(), ["", "", ""])).encode() + b"\\n")
        connection.recv(1)
threading.Thread(target=go_on).start()
ctypes.CDLL(None).pthread_exit(None)
"""
"""A leader that waits for a signal, and a child that ignores SIGTERM.

The first thread of the child ends, so /proc shows the child as a zombie.
"""

PARENT_THAT_DOES_NOT_REAP: Final = """
import os, signal, socket, sys
if os.fork():
    signal.pause()
if not os.fork():
    signal.pause()
os.setsid()  # after the fork, so that the child stays in the group
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(repr((os.getpid(), ["", "", ""])).encode() + b"\\n")
    connection.recv(1)
"""
"""A leader that waits for a signal, a child outside of its group, and a grandchild in it.

The child never reaps the grandchild, which stays a zombie after it has ended.
"""


def run_as_cmd(source: str, runs: Runs) -> list[str]:
    """Return the CMD that runs *source*, and that reports to *runs*."""
    return [sys.executable, "-ISc", source, runs.port]
