"""The entry point of ``aioteredo`` and ``python -m aioteredo``."""

from __future__ import annotations

import atexit
import signal
import sys


def main() -> int:
    """Run the command line of this process.

    If a signal has ended the command, then except on Windows the process dies of the same
    signal at its exit. A shell ends its loop, and a service manager sees a clean stop, only
    if the process has died of the signal.

    :return: the exit status, which is 128 plus the number of the signal that has ended the
        command
    """
    if sys.platform == "win32":  # pragma: no cover - measured on Linux
        # The import is in this block, so that Ctrl-C during the import shows no traceback.
        try:
            from aioteredo._cli.commands import main as run

            return run(None)
        except KeyboardInterrupt:
            return 130

    # Python's own handler raises KeyboardInterrupt, which shows a traceback if Ctrl-C comes
    # during an import or at the exit. The default action ends the process quietly at any
    # moment. A command that has to clean up has its own handlers while it runs. This module
    # imports little before this line, because until then Ctrl-C shows a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    status = 0
    # atexit calls the functions in reverse order. Registered first, this function is called
    # last, so the exit functions of other modules have run when the process dies.
    atexit.register(lambda: _die(status - 128) if status > 128 else None)

    from aioteredo._cli.commands import main as run

    status = run(None)
    return status


def _die(number: int) -> None:
    """End this process by signal *number*.

    Return if the kernel discards the signal, as it does for the first process of a
    container, which then exits with its status.
    """
    if sys.platform == "win32":  # pragma: no cover - measured on Linux
        return
    import resource
    from contextlib import suppress

    # Dump no core on SIGQUIT: it would show the state after the clean-up, not before.
    _, maximum = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, maximum))

    # The interpreter flushes its streams after the last exit function, which is this one.
    # Without this loop, output that an exit function has printed would be lost.
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # The stream may be closed, or None.
            stream.flush()

    signal.signal(number, signal.SIG_DFL)
    # Unlike os.kill(), raise_signal() signals this thread, and returns after the signal.
    signal.raise_signal(number)


if __name__ == "__main__":
    sys.exit(main())
