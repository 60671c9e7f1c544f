"""The statements of docs/no-port.md about Miredo, with a real Miredo."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

from ..support.documents import ROOT
from ..support.requirements import require
from ..support.waiting import wait_until

if TYPE_CHECKING:
    from ..support.miredo_lab import Lab

PAGE: Final = "docs/no-port.md"


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A network with a Teredo server."""
    if sys.platform != "linux":
        pytest.skip("Miredo runs on Linux only")
    from ..support import miredo_lab

    require("miredo", miredo_lab.missing())
    with miredo_lab.Lab() as lab:
        yield lab


def test_miredo_without_a_server_has_a_port_but_no_address(lab: Lab) -> None:
    """The port of a Miredo whose server does not answer is reported."""
    lab.start("ServerAddress 192.0.2.77")
    port = lab.wait_for_port()
    assert lab.get_port() == port
    assert lab.teredo_address() is None


def test_command_of_the_page_shows_the_user_of_the_worker(lab: Lab) -> None:
    """``ps`` names the user ``miredo`` beside root."""
    (command,) = re.findall(r"`(ps .*?)`", (ROOT / PAGE).read_text("utf-8"))
    lab.start()
    lab.wait_for_port()
    wait_until(
        lambda: {"root", "miredo"} <= {*lab.output(*shlex.split(command)).split()},
        "the worker runs as its user",
    )
