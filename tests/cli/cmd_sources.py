"""Python code that the tests of ``exec`` run as CMD."""

from __future__ import annotations

# A leader that waits, and a child of it that becomes another user.
MEMBER_OF_ANOTHER_USER = """
import os, signal, socket, sys
if os.fork():
    signal.pause()
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    os.setuid(65534)
    connection.sendall(repr((os.getpid(), ["", "", ""])).encode() + b"\\n")
    connection.recv(1)
"""


WITHOUT_ITS_FIRST_THREAD = """
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


PARENT_THAT_DOES_NOT_REAP = """
import os, signal, socket, sys
if os.fork():
    signal.pause()
if not os.fork():
    signal.pause()
os.setsid()  # only now: its child stays in the group, and it reaps no child
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(repr((os.getpid(), ["", "", ""])).encode() + b"\\n")
    connection.recv(1)
"""
