"""The sitecustomize of Windows CPython under Wine: what Wine lacks. Never shipped.

trio asks a socket for the one below any layered service provider, by
SIO_BSP_HANDLE_SELECT, and does not start without an answer. Wine 8 has no such call, and
no such providers: every socket is its own base.

asyncio's ``call_soon_threadsafe`` appends to the loop's queue, sends a byte to the loop's
socket and ignores an OSError: if the buffer is full, bytes enough are there. But Wine 8
says WSAEWOULDBLOCK of a non-blocking socket whenever another thread is inside ``send``
for it, however empty the buffer. If the loop has read that other byte by then, nothing
wakes it up for this one, and it waits with the callback in its queue. It is not known of
Windows, and trio calls ``send`` under a lock. So here asyncio has one as well.
"""

import sys
from importlib.machinery import PathFinder

WSAEOPNOTSUPP = 10045


def patch_trio(module):
    ask = module._get_underlying_socket

    def get_underlying_socket(sock, **kwargs):
        try:
            return ask(sock, **kwargs)
        except OSError as error:
            if error.winerror != WSAEOPNOTSUPP:
                raise
        number = sock if isinstance(sock, int) else sock.fileno()
        return module.ffi.cast("HANDLE", number)

    module._get_underlying_socket = get_underlying_socket


def patch_asyncio(cls):
    import threading  # not before asyncio does: some tests look at what is imported

    send = cls._write_to_self
    lock = threading.RLock()  # a finalizer may run inside, and post as well

    def write_to_self(self):
        with lock:
            send(self)

    cls._write_to_self = write_to_self


PATCHES = {
    "asyncio.proactor_events": lambda m: patch_asyncio(m.BaseProactorEventLoop),
    "asyncio.selector_events": lambda m: patch_asyncio(m.BaseSelectorEventLoop),
    "trio._core._io_windows": patch_trio,
}


class PatchingLoader:
    """The loader of one module; the one it wraps may be that of a whole zip file."""

    def __init__(self, loader, patch):
        self._loader = loader
        self._patch = patch

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def exec_module(self, module):
        self._loader.exec_module(module)
        self._patch(module)


class PatchingFinder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        patch = PATCHES.get(name)
        if patch is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = PatchingLoader(spec.loader, patch)
        return spec


sys.meta_path.insert(0, PatchingFinder)
