"""The command line: what each command does, and how it ends.

Scripts call ``port`` often, so it must start nearly as quickly as ``import anyio``. It asks
the backend on this thread, without an event loop, and each command imports the modules that
only it needs.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from .. import __version__
from .._errors import NoDefaultBackendError, TeredoError
from .._selection import resolve
from . import output
from .arguments import Arguments, parse
from .options import UsageError

if TYPE_CHECKING:
    from .signals import Signals


def main(argv: Sequence[str] | None) -> int:
    """Run the command line.

    :return: 0; 1 if the backend is unavailable or fails, or nothing can be written; 3
        from ``port`` if there is none; 126 or 127 if ``exec`` cannot run CMD; 128 and the
        number of the signal that has ended it; 2 for wrong usage
    :raises KeyboardInterrupt: after Ctrl-C, if no event loop is running yet
    """
    output.open_missing()
    try:
        arguments = parse(argv)
        return _COMMANDS[arguments.command](arguments)
    except NoDefaultBackendError as error:
        output.report(error.describe("--backend"))
        return 1
    except UsageError as error:
        from .help import explain

        output.tell(explain(error))
        return 2
    except (TeredoError, output.OutputError) as error:
        output.report(str(error))
        return 1
    except output.ReaderGoneError:
        return 0
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        output.report(f"{error.strerror}: raise the limit, as with ulimit -n")
        return 1


def _help(arguments: Arguments) -> int:
    from .help import page

    output.say(page(arguments.page))
    return 0


def _version(_: Arguments) -> int:
    output.say(f"aioteredo {__version__}")
    return 0


def _port(arguments: Arguments) -> int:
    port = resolve(arguments.backend).get_port()
    if port is None:
        if sys.stderr.isatty():  # a script reads the exit status
            from .announce import client_of

            output.report(f"{client_of(arguments.backend)} has no port")
        return 3
    output.say(f'{{"port": {port}}}' if arguments.json else str(port))
    return 0


def _backends(arguments: Arguments) -> int:
    from .._availability import backends

    listed = list(backends())
    stdout = output.Output(sys.stdout)
    if arguments.json:
        import json

        for backend in listed:
            stdout.write(json.dumps(backend.as_dict()))
        return 0
    width = max(len(backend.name) for backend in listed)
    for backend in listed:
        stdout.write(f"{backend.name:{width}}  {backend.describe()}")
    return 0


def _watch(arguments: Arguments) -> int:
    from . import formats
    from .watch import watch

    format_ = formats.Json() if arguments.json else formats.text_for(sys.stdout)
    return _run(
        lambda _: watch(
            format_,
            initial=arguments.initial,
            max_buffer_size=arguments.max_buffer_size,
            backend=arguments.backend,
            count=arguments.count,
            seconds=arguments.timeout,
        )
    )


def _exec(arguments: Arguments) -> int:
    from .exec import follow

    return _run(
        lambda signals: follow(
            arguments.argv,
            signals,
            initial=arguments.initial,
            backend=arguments.backend,
            on_busy=arguments.on_busy,
            no_port=arguments.no_port,
            fail_fast=arguments.fail_fast,
            count=arguments.count,
            seconds=arguments.timeout,
            every=arguments.every,
            verbose=arguments.verbose,
        )
    )


def _run(command: Callable[[Signals], Awaitable[int]]) -> int:
    import signal

    import anyio

    from .signals import Signals

    if sys.platform != "win32":  # pragma: no branch - measured on Linux
        # A process inherits the signals that its parent has blocked. SIGTERM would end
        # neither us nor CMD, and SIGCHLD would not tell the end of CMD.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

        # An event loop that cannot open its three descriptors raises, and then its
        # destructor prints a traceback. So the limit is found out first.
        for number in [os.dup(0) for _ in range(3)]:
            os.close(number)

    signals = Signals()
    return anyio.run(signals.run, lambda: command(signals))


_COMMANDS: Final[dict[str, Callable[[Arguments], int]]] = {
    "watch": _watch,
    "port": _port,
    "exec": _exec,
    "backends": _backends,
    "help": _help,
    "version": _version,
}
