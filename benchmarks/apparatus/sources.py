"""Where the callbacks come from: a Python thread, or a thread that Python never saw.

Both call one callback at a time, ``callback(port, notification_type)``, and take the
time on the same clock as the consumers do, that of :func:`time.perf_counter_ns`.
aioteredo gets at a source as its users do, by a backend; the others register a callback,
with one Python call between it and ctypes where the thread is native.

The ports are 1, 2, 3 and so on, and the last one is always :data:`LAST_PORT`: where
events are dropped, the newest comes through.
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
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from aioteredo import IphlpapiBackend, NotificationType

if TYPE_CHECKING:
    from aioteredo import Backend, Sink

LAST_PORT: Final = 65_535
IDLE_GAP: Final = 300_000  # ns: time enough for a loop to go to sleep again
PARAMETER: Final = int(NotificationType.PARAMETER)

_LIBRARY_SOURCE: Final = Path(__file__).parents[2] / "native" / "teredo_stand_in.c"
_NATIVE_CALLBACK: Final = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_ushort, ctypes.c_int
)

Callback = Callable[[int, int], object]


class TimeStamps(NamedTuple):
    """When each callback was entered and left, in ns; of a burst, the whole of it."""

    entered: array[int]
    left: array[int]


class Source(Protocol):
    """A stream of callbacks."""

    @property
    def backend(self) -> Backend:
        """The same source for aioteredo."""

    def attach(self, callback: Callback) -> Callable[[], object]:
        """Register *callback*.

        :return: what takes that back
        """

    def get_port(self) -> int:
        """The port of the latest callback."""

    def pace(self, count: int) -> TimeStamps:
        """Call back *count* times, each a while after :meth:`resume`. Blocks."""

    def resume(self) -> None:
        """Say that the consumer waits, or will soon: the next callback may come."""

    def burst(self, count: int) -> TimeStamps:
        """Call back *count* times, as fast as can be. Blocks."""


class PythonThread:
    """Whatever Python thread calls :meth:`pace` or :meth:`burst`."""

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

    def attach(self, callback: Callback) -> Callable[[], object]:
        key = object()
        self._callbacks[key] = callback
        return lambda: self._callbacks.pop(key)

    def get_port(self) -> int:
        return self._port

    def pace(self, count: int) -> TimeStamps:
        stamps = TimeStamps(array("q"), array("q"))
        for port in port_sequence(count):
            self._resumed.acquire()
            sleep(IDLE_GAP / 1e9)
            stamps.entered.append(perf_counter_ns())
            self.notify(port)
            stamps.left.append(perf_counter_ns())
        return stamps

    def resume(self) -> None:
        self._resumed.release()

    def burst(self, count: int) -> TimeStamps:
        (callback,) = self._callbacks.values()
        sequence = port_sequence(count)
        entered = perf_counter_ns()
        for port in sequence:
            callback(port, PARAMETER)
        left = perf_counter_ns()
        self._port = LAST_PORT
        return TimeStamps(array("q", [entered]), array("q", [left]))

    def notify(self, port: int) -> None:
        """Tell all that are registered."""
        self._port = port
        for callback in list(self._callbacks.values()):
            callback(port, PARAMETER)


class _Subscription:
    def __init__(self, detach: Callable[[], object]) -> None:
        self._detach = detach

    def cancel(self) -> None:
        self._detach()


class NativeThread:
    """A thread made in C, by the library that stands in for iphlpapi.dll.

    Each of its callbacks begins with a Python state for the thread, and everybody pays
    for that.
    """

    def __init__(self) -> None:
        path = build_library()
        self._library = ctypes.CDLL(path)
        self._library.stand_in_reset()
        self.backend = IphlpapiBackend(path)

    def attach(self, callback: Callback) -> Callable[[], object]:
        def on_port_change(context: int, port: int, kind: int) -> None:  # noqa: ARG001
            callback(port, kind)

        return self.register(on_port_change)

    def register(self, callback: Callable[[Any, int, int], None]) -> Callable[[], object]:
        """Have ctypes call *callback*, with nothing of ours between."""
        thunk, handle = _NATIVE_CALLBACK(callback), ctypes.c_void_p()
        notify = self._library.NotifyTeredoPortChange
        if notify(thunk, None, False, ctypes.byref(handle)):
            raise RuntimeError("NotifyTeredoPortChange failed")
        self._thunk = thunk  # to be kept while it is registered
        return lambda: self._library.CancelMibChangeNotify2(handle)

    def get_port(self) -> int:
        return self.backend.get_port() or 0

    def pace(self, count: int) -> TimeStamps:
        return self._run(count, IDLE_GAP)

    def pace_without_consumer(self, count: int) -> TimeStamps:
        """The same for a callback that has no consumer."""
        return self._run(count, -IDLE_GAP)

    def resume(self) -> None:
        self._library.stand_in_resume()

    def burst(self, count: int) -> TimeStamps:
        return self._run(count, 0)

    def _run(self, count: int, gap: int) -> TimeStamps:
        stamps = TimeStamps(array("q", bytes(8 * count)), array("q", bytes(8 * count)))
        entered, left = (ctypes.c_void_p(a.buffer_info()[0]) for a in stamps)
        begin = perf_counter_ns()
        self._library.stand_in_pace(
            ctypes.c_long(count), ctypes.c_int64(gap), entered, left
        )
        if not begin <= stamps.entered[0] <= stamps.left[-1] <= perf_counter_ns():
            raise RuntimeError("the native thread's clock is not Python's")
        return stamps


SOURCES: Final[dict[str, Callable[[], Source]]] = {
    "python": PythonThread,
    "native": NativeThread,
}


def port_sequence(count: int) -> list[int]:
    """The ports of *count* callbacks."""
    return [*(1 + i % 65_000 for i in range(count - 1)), LAST_PORT]


@functools.cache
def build_library() -> str:
    """The path of the library, which is built once.

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
