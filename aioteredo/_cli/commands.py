"""A function for each command, and ``main()``, which calls them and reports their errors.

Scripts call ``port`` often, so it must start quickly: it reads the port without an event
loop, and each command imports the modules that only it needs.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from .. import __version__
from .._address_backend import read_addresses
from .._errors import NoDefaultBackendError, TeredoError
from .._selection import resolve
from . import output
from .arguments import Arguments, parse
from .options import UsageError

if TYPE_CHECKING:
    from .._addresses import TeredoAddress
    from .subject import Subject


def main(argv: Sequence[str] | None) -> int:
    """Run the command line, and report its errors on standard error.

    :param argv: the arguments without the program's name, or None for ``sys.argv``
    :return: the exit status, as ``STATUSES`` of ``reference.py`` lists them
    :raises KeyboardInterrupt: after Ctrl-C, if no event loop is running yet
    """
    output.open_missing_streams()
    try:
        arguments = parse(argv)
        return _COMMANDS[arguments.command](arguments)
    except NoDefaultBackendError as error:
        output.report_error(error.describe("--backend"))
        return 1
    except UsageError as error:
        from .help import explain

        output.write_stderr(explain(error))
        return 2
    except (TeredoError, output.OutputError) as error:
        output.report_error(str(error))
        return 1
    except output.ReaderGoneError:
        return 0
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        output.report_error(f"{error.strerror}: raise the limit, as with ulimit -n")
        return 1


def _help(arguments: Arguments) -> int:
    from .help import help_page

    output.write_stdout(help_page(arguments.page))
    return 0


def _version(_: Arguments) -> int:
    output.write_stdout(f"aioteredo {__version__}")
    return 0


def _port(arguments: Arguments) -> int:
    port = resolve(arguments.backend).get_port()
    if port is None:
        # A script reads the exit status, and may take the message for an error.
        if sys.stderr.isatty():
            from .announce import describe_client

            output.report_error(f"{describe_client(arguments.backend)} has no port")
        return 3

    output.write_stdout(f'{{"port": {port}}}' if arguments.json else str(port))
    return 0


def _address(arguments: Arguments) -> int:
    stdout = output.LineWriter(sys.stdout)
    addresses: tuple[TeredoAddress, ...] | None = None
    if arguments.wait:
        from .._address_watch import get_teredo_addresses
        from .hang_up import run_until_hang_up

        async def get() -> None:
            nonlocal addresses
            addresses = await get_teredo_addresses(
                wait_until_stable=True, backend=arguments.backend
            )

        async def wait() -> int:
            await run_until_hang_up(get, stdout)
            return 0

        status = _run_in_event_loop(wait)
        if status or addresses is None:  # a signal, or nobody reads the output
            return status
    else:
        addresses = read_addresses(resolve(arguments.backend))

    if not addresses:
        if sys.stderr.isatty():
            from .announce import describe_client

            output.report_error(f"{describe_client(arguments.backend)} has no address")
        return 3

    for address in addresses:
        if arguments.json:
            import json

            from .address_fields import address_fields

            stdout.write(json.dumps(address_fields(address)))
        else:
            stdout.write(str(address))
    return 0


def _backends(arguments: Arguments) -> int:
    from .._availability import backends

    listed = list(backends())
    stdout = output.LineWriter(sys.stdout)
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

    subject = _subject(arguments)
    lines: formats.JsonFormat | formats.TextFormat
    if arguments.json:
        lines = formats.JsonFormat(subject)
    else:
        lines = formats.text_format_for(sys.stdout, subject)
    return _run_in_event_loop(
        lambda: watch(
            lines.format,
            subject=subject,
            initial=arguments.initial,
            max_buffer_size=arguments.max_buffer_size,
            backend=arguments.backend,
            count=arguments.count,
            timeout=arguments.timeout,
        )
    )


def _exec(arguments: Arguments) -> int:
    from .exec import follow

    subject = _subject(arguments)
    return _run_in_event_loop(
        lambda: follow(
            arguments.argv,
            subject=subject,
            initial=arguments.initial,
            backend=arguments.backend,
            on_busy=arguments.on_busy,
            no_value=arguments.no_address if arguments.addresses else arguments.no_port,
            fail_fast=arguments.fail_fast,
            count=arguments.count,
            timeout=arguments.timeout,
            every=arguments.every,
            verbose=arguments.verbose,
        )
    )


def _subject(arguments: Arguments) -> Subject:
    from .subject import ADDRESSES, PORT

    return ADDRESSES if arguments.addresses else PORT


def _run_in_event_loop(command: Callable[[], Awaitable[int]]) -> int:
    import signal

    import anyio

    from .signals import run_until_signal

    if sys.platform != "win32":  # pragma: no branch - measured on Linux
        # A process inherits the signals that its parent has blocked. A blocked SIGTERM
        # would end neither this process nor CMD, and a blocked SIGCHLD would not report
        # the end of CMD.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

        # Open as many descriptors as an event loop needs. Otherwise, at the limit of
        # descriptors, the destructor of the half-made loop would print a traceback.
        for descriptor in [os.dup(0) for _ in range(3)]:
            os.close(descriptor)

    return anyio.run(run_until_signal, command)


_COMMANDS: Final[dict[str, Callable[[Arguments], int]]] = {
    "watch": _watch,
    "port": _port,
    "address": _address,
    "exec": _exec,
    "backends": _backends,
    "help": _help,
    "version": _version,
}
