"""The programs of docs/recipes/fixed-port.md, and Miredo with its directive."""

from __future__ import annotations

import sys
from typing import Final

import pytest

from ..support.command import environment, run_interpreter
from ..support.documents import block
from ..support.requirements import require

PAGE: Final = "docs/recipes/fixed-port.md"


def test_program_prints_the_output_of_the_page() -> None:
    """The client without a port lies between two events with the same port."""
    program = block(PAGE, "python", "a client with a fixed port")
    result = run_interpreter("-W", "error", "-c", program, env=environment())
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == block(PAGE, "text", "None")


def test_commands_of_windows_set_the_port_of_the_page() -> None:
    """Both commands set the port that the rest of the page has, and one removes it."""
    port = block(PAGE, "text", "BindPort").split()[1]
    netsh = block(PAGE, "bat", "=51820")
    assert block(PAGE, "powershell", "ClientPort").split()[-1] == port
    assert block(PAGE, "bat", "=default") == netsh.replace(port, "default")


def test_miredo_takes_the_same_port_after_a_reload() -> None:
    """The watch of a Miredo with ``BindPort`` sees the same port again."""
    if sys.platform != "linux":
        pytest.skip("Miredo runs on Linux only")
    from ..support import miredo_lab

    require("miredo", miredo_lab.missing())
    directive = block(PAGE, "text", "BindPort").strip()
    port = int(directive.split()[1])
    with miredo_lab.Lab() as lab:
        client = lab.start(directive)
        lab.wait_for_port()
        watcher = lab.watch()
        assert watcher.first["port"] == port

        client.reload()
        ports = [watcher.take_port()]
        while ports[-1] is None:
            ports.append(watcher.take_port())
        assert ports in ([None, port], [port])
