"""The sources of callbacks: a Python thread, and a thread that a C library starts.

Both call one callback at a time, ``callback(port, notification_type)``, and read the clock
of the consumers, :func:`time.perf_counter_ns`. aioteredo uses a source as a backend; the
other contenders register a callback with attach().
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import shutil
import subprocess
import tempfile
from array import array
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from time import perf_counter_ns, sleep
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aioteredo import IphlpapiBackend, NotificationType

if TYPE_CHECKING:
    from aioteredo import Backend, Sink

LAST_PORT: Final = 65_535  # of every series, so that a consumer knows its last event
IDLE_GAP: Final = 300_000  # ns, in which a loop goes to sleep
PARAMETER: Final = int(NotificationType.PARAMETER)

_LIBRARY_SOURCE: Final = Path(__file__).parents[1] / "native" / "teredo_stand_in.c"
_NATIVE_CALLBACK: Final = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_ushort, ctypes.c_int
)

Callback = Callable[[int, int], object]


class TimeStamps(NamedTuple):
    """The times in ns at which callbacks began and ended.

    Each callback has its own pair, except in a burst from a Python thread. Reading the
    clock would slow that burst, so it has one pair for all.
    """

    entered: array[int]
    left: array[int]


class _Subscription(NamedTuple):
    cancel: Callable[[], None]


class PythonThread:
    """The Python thread that calls :meth:`pace` or :meth:`burst`."""

    def __init__(self) -> None:
        self._callbacks: dict[object, Callback] = {}
        self._port = 0
        self._resumed = Lock()
        self._resumed.acquire()

    @property
    def backend(self) -> Backend:
        return self

    def subscribe(self, sink: Sink, *, initial: bool) -> _Subscription:  # noqa: ARG002
        return _Subscription(self.attach(sink.push))

    def attach(self, callback: Callback) -> Callable[[], None]:
        """Register *callback*, and return a function that cancels the registration."""
        key = object()
        self._callbacks[key] = callback
        return functools.partial(self._callbacks.__delitem__, key)

    def get_port(self) -> int:
        return self._port

    def pace(self, count: int) -> TimeStamps:
        """Call back *count* times, each time a gap after :meth:`resume`. Blocks."""
        stamps = TimeStamps(array("q"), array("q"))
        for port in port_sequence(count):
            self._resumed.acquire()
            sleep(IDLE_GAP / 1e9)

            stamps.entered.append(perf_counter_ns())
            self._notify(port)
            stamps.left.append(perf_counter_ns())
        return stamps

    def _notify(self, port: int) -> None:
        self._port = port
        for callback in list(self._callbacks.values()):
            callback(port, PARAMETER)

    def resume(self) -> None:
        """Allow the next callback, because the consumer waits or soon will."""
        self._resumed.release()

    def burst(self, count: int) -> TimeStamps:
        """Call back *count* times without a pause. Blocks."""
        (callback,) = self._callbacks.values()
        ports = port_sequence(count)

        entered = perf_counter_ns()
        for port in ports:
            callback(port, PARAMETER)
        left = perf_counter_ns()

        self._port = LAST_PORT
        return TimeStamps(array("q", [entered]), array("q", [left]))


class NativeThread:
    """A thread that the stand-in for iphlpapi.dll starts.

    Python makes a new thread state for each callback, and every contender pays for it.
    """

    def __init__(self) -> None:
        path = build_library()
        self._library = ctypes.CDLL(path)
        self._library.stand_in_reset()
        self.backend = IphlpapiBackend(path)

    def attach(self, callback: Callback) -> Callable[[], None]:
        def on_port_change(context: int, port: int, kind: int) -> None:  # noqa: ARG001
            callback(port, kind)

        return self.register(on_port_change)

    def register(self, callback: Callable[[Any, int, int], None]) -> Callable[[], None]:
        """Let ctypes call *callback* itself, with no Python call in between."""
        thunk = _NATIVE_CALLBACK(callback)
        handle = ctypes.c_void_p()
        notify = self._library.NotifyTeredoPortChange
        if notify(thunk, None, False, ctypes.byref(handle)):
            raise RuntimeError("NotifyTeredoPortChange failed")

        # The library has only the address. It would call freed memory.
        self._thunk = thunk
        return functools.partial(self._library.CancelMibChangeNotify2, handle)

    def get_port(self) -> int:
        return self.backend.get_port() or 0

    def pace(self, count: int) -> TimeStamps:
        return self._run(count, IDLE_GAP)

    def pace_without_consumer(self, count: int) -> TimeStamps:
        """Do the same for a callback that has no consumer, so nobody calls resume()."""
        return self._run(count, -IDLE_GAP)

    def resume(self) -> None:
        self._library.stand_in_resume()

    def burst(self, count: int) -> TimeStamps:
        return self._run(count, 0)

    def _run(self, count: int, gap: int) -> TimeStamps:
        stamps = TimeStamps(array("q", bytes(8 * count)), array("q", bytes(8 * count)))
        entered, left = (ctypes.c_void_p(times.buffer_info()[0]) for times in stamps)

        begin = perf_counter_ns()
        self._library.stand_in_pace(
            ctypes.c_long(count), ctypes.c_int64(gap), entered, left
        )
        if not begin <= stamps.entered[0] <= stamps.left[-1] <= perf_counter_ns():
            raise RuntimeError("the native thread's clock is not Python's")
        return stamps


Source = PythonThread | NativeThread
SOURCES: Final[dict[str, type[Source]]] = {"python": PythonThread, "native": NativeThread}


def port_sequence(count: int) -> list[int]:
    """Return the ports of *count* callbacks. A repeated port is far from its first use."""
    return [*(1 + i % 65_000 for i in range(count - 1)), LAST_PORT]


@functools.cache
def build_library() -> str:
    """Compile the stand-in for iphlpapi.dll, once in each process, and return its path.

    :raises FileNotFoundError: if there is no C compiler
    """
    if shutil.which("cc") is None:
        raise FileNotFoundError("callbacks from a native thread need a C compiler (cc)")
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    library = f"{directory.name}/libteredo_stand_in.so"
    command = "cc -std=gnu11 -O2 -shared -fPIC -pthread -o"
    subprocess.run([*command.split(), library, _LIBRARY_SOURCE], check=True)  # noqa: S603
    return library
