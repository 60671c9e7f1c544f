"""The recipe of docs/recipes/dynamic-dns.md, with a real BIND and a real Miredo."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from ..support.documents import block
from ..support.requirements import require
from ..support.waiting import limit, wait_until

if TYPE_CHECKING:
    from ..support.miredo_lab import Lab
    from ..support.name_server import NameServer

PAGE: Final = "docs/recipes/dynamic-dns.md"
NAME: Final = "gate7.dyn.example.com"


class Recipe:
    """The files of the page in one directory, and the name server that reads them."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        from ..support import name_server

        self.lab = lab
        self._directory = directory
        self.script = directory / "publish-address"
        self.script.write_text(self._here(block(PAGE, "sh", "nsupdate")))
        self.script.chmod(0o755)
        (directory / "dyn.example.com").write_text(block(PAGE, "text", "SOA"))
        lab.output("sh", "-c", self._here(block(PAGE, "sh", "tsig-keygen")))
        zone = self._here(block(PAGE, "text", "update-policy"))
        self.name_server: NameServer = name_server.NameServer(lab, directory, zone)

    def _here(self, text: str) -> str:
        from ..support import name_server

        for place in ("/etc/bind", "/var/lib/bind", "/etc/aioteredo"):
            text = text.replace(place, str(self._directory))
        return text.replace("server ns1.example.com", f"server {name_server.ADDRESS}")

    def command(self, every: str = "300") -> subprocess.Popen[str]:
        """Start the command of the page, with stderr in its output."""
        command = block(PAGE, "sh", "aioteredo exec").rstrip().replace("300", every)
        command = command.replace("publish-address", str(self.script))
        return self.lab.spawn("sh", "-c", f"exec {command} 2>&1")

    def publish(self, address: str) -> None:
        """Run the script of the page."""
        self.lab.output(str(self.script), address)

    def record(self) -> list[str]:
        """Return the addresses that the name server gives for the host."""
        return self.name_server.query(NAME, "AAAA")

    def wait_for_record(self, *addresses: object) -> None:
        """Wait until the name server gives exactly these addresses."""
        expected = [str(address) for address in addresses]
        wait_until(lambda: self.record() == expected, f"the record {expected}")


@pytest.fixture
def recipe(tmp_path: Path) -> Iterator[Recipe]:
    """The recipe, whose name server does not run yet, in a lab without a client."""
    if sys.platform != "linux":
        pytest.skip("Miredo needs Linux")
    from ..support import miredo_lab, name_server

    require("miredo", miredo_lab.missing())
    require("bind9", name_server.missing())
    with miredo_lab.Lab() as lab:
        yield Recipe(lab, tmp_path)


def test_record_follows_a_client_that_restarts(recipe: Recipe) -> None:
    """The record is the client's address, and is absent while there is no address."""
    recipe.name_server.start()
    recipe.publish("2001:db8::1")  # left behind by an earlier run
    follower = recipe.command()
    recipe.wait_for_record()

    client = recipe.lab.start()
    first = recipe.lab.wait_for_address()
    recipe.wait_for_record(first)
    client.stop()
    recipe.wait_for_record()
    recipe.lab.start()
    second = recipe.lab.wait_for_address()
    recipe.wait_for_record(second)
    assert first != second

    follower.terminate()
    assert follower.stdout is not None
    assert follower.stdout.read() == ""
    assert follower.wait(limit()) == -signal.SIGTERM
    assert recipe.record() == [str(second)]
    recipe.publish("none")
    assert recipe.record() == []


def test_update_that_failed_is_repeated(recipe: Recipe) -> None:
    """When the name server can be reached again, it gets the address."""
    recipe.lab.start()
    address = recipe.lab.wait_for_address()
    follower = recipe.command(every="1")
    assert follower.stdout is not None
    while "exit status" not in (line := follower.stdout.readline()):
        assert line
    recipe.name_server.start()
    recipe.wait_for_record(address)


def test_record_is_replaced_and_has_a_short_ttl(recipe: Recipe) -> None:
    """Another address takes the place of the previous one, for at most a minute."""
    recipe.name_server.start()
    recipe.publish("2001:0:c000:201::1")
    recipe.publish("2001:0:c000:201::2")
    (answer,) = recipe.name_server.query(NAME, "AAAA", "+noall", "+answer")
    assert answer.split() == [f"{NAME}.", "60", "IN", "AAAA", "2001:0:c000:201::2"]


@pytest.mark.parametrize(
    "update",
    [
        "update add gate8.dyn.example.com. 60 AAAA 2001:db8::1",
        "update add gate7.dyn.example.com. 60 A 192.0.2.99",
        "update delete dyn.example.com. NS",
    ],
)
def test_key_cannot_change_another_record(recipe: Recipe, update: str) -> None:
    """The name server refuses an update of another name or of another type."""
    recipe.name_server.start()
    script = recipe.script.read_text()
    allowed = "update delete gate7.dyn.example.com. AAAA"
    assert allowed in script
    recipe.script.write_text(script.replace(allowed, update))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        recipe.publish("none")
    assert caught.value.returncode == 2


def test_update_without_the_key_is_refused(recipe: Recipe) -> None:
    """Another key with the same name does not convince the name server."""
    recipe.name_server.start()
    recipe.lab.output("sh", "-c", recipe._here(block(PAGE, "sh", "tsig-keygen")))
    with pytest.raises(subprocess.CalledProcessError):
        recipe.publish("2001:0:c000:201::1")
    assert recipe.record() == []
