"""Where the command begins: ``aioteredo``, and ``python -m aioteredo``.

It ends here too: a signal that has ended the command also ends the process, as a shell's
loop and a service manager expect it. Only few and quick modules are imported before that
is prepared.
"""

from __future__ import annotations

import atexit
import signal
import sys


def main() -> int:
    """Run the command line of this process.

    :return: the exit status. It is 128 and the number of the signal if a signal has ended
        the command. Except on Windows the process then dies of that signal, instead of
        exiting with the status
    """
    if sys.platform == "win32":  # pragma: no cover - measured on Linux
        try:
            from aioteredo._cli.commands import main as run

            return run(None)
        except KeyboardInterrupt:  # Each import is in this block: Ctrl-C ends it quietly.
            return 130

    # Python's own handler raises KeyboardInterrupt, with a traceback if Ctrl-C comes during
    # an import or at the exit. The default action ends the process quietly at any moment.
    # A command that has something to clean up has its own handlers while it runs.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    # The function that is registered first is called last, so the other ones still run.
    status = 0
    atexit.register(lambda: _die(status - 128) if status > 128 else None)

    from aioteredo._cli.commands import main as run

    status = run(None)
    return status


def _die(number: int) -> None:
    """Die of a signal.

    Return if the kernel discards the signal, as it does for the first process of a
    container. That process then exits with its status.
    """
    if sys.platform == "win32":  # pragma: no cover - measured on Linux
        return
    import resource
    from contextlib import suppress

    # The memory after the clean-up would not show the state when the signal came.
    _, maximum = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, maximum))

    # The interpreter flushes after the last exit function, which this process never leaves.
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # The stream may be closed, or None.
            stream.flush()

    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)  # unlike kill(), in this thread, and before it returns


if __name__ == "__main__":
    sys.exit(main())
