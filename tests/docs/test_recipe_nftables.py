"""The recipe of docs/recipes/nftables.md, and the command of the systemd unit.

Both follow a real Miredo, and packets arrive from another network namespace.
"""

from __future__ import annotations

import itertools
import json
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import pytest

from aioteredo import TEREDO_MULTICAST_ADDRESS, TEREDO_MULTICAST_PORT

from ..support.documents import block
from ..support.requirements import require
from ..support.waiting import limit, wait_until
from .unit import service_section

if TYPE_CHECKING:
    from ..support.miredo_lab import Lab

PAGE: Final = "docs/recipes/nftables.md"

MULTICAST = (TEREDO_MULTICAST_ADDRESS, TEREDO_MULTICAST_PORT)


# The addresses of the lab.
SERVER = "192.0.2.1"
CLIENT = "192.0.2.10"

# Each probe packet has a source port of its own, by which the sets below know it.
_source_ports = itertools.count(20001)

# A chain behind the recipe's chain records each packet that the recipe lets pass. A last
# rule of the recipe's chain records the packets that meet its policy, which drops them.
WITNESS = f"""
table inet witness {{
    set passed {{ typeof udp sport; size 999; flags dynamic; }}
    chain behind {{
        type filter hook input priority filter + 10;
        ip saddr {SERVER} add @passed {{ udp sport }}
    }}
}}
table inet filter {{
    set stopped {{ typeof udp sport; size 999; flags dynamic; }}
    chain input {{
        ip saddr {SERVER} add @stopped {{ udp sport }}
    }}
}}
"""

SEND = """
import socket, sys
for probe in sys.argv[2:]:
    source, address, port = probe.split(",")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        here = socket.inet_aton(sys.argv[1])
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
        sock.bind((sys.argv[1], int(source)))
        sock.sendto(b"probe", (address, int(port)))
"""

LISTEN = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind((sys.argv[2], int(sys.argv[3])))
    group = socket.inet_aton(sys.argv[2]) + socket.inet_aton(sys.argv[1])
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    print("ready", flush=True)
    print(*sock.recvfrom(99), flush=True)
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """The lab, where the recipe's ruleset filters the packets to the client."""
    if sys.platform != "linux":
        pytest.skip("nftables needs Linux")
    from ..support import miredo_lab

    require("miredo", miredo_lab.missing())
    with miredo_lab.Lab() as lab:
        lab.output("nft", "-f", "-", text=block(PAGE, "text", "set teredo"))
        lab.output("nft", "-f", "-", text=WITNESS)
        yield lab


def elements(lab: Lab, table: str, name: str) -> set[int]:
    """Return the elements of a set of nftables."""
    listing = json.loads(lab.output("nft", "-j", "list", "set", "inet", table, name))
    (found,) = [item["set"] for item in listing["nftables"] if "set" in item]
    return set(found.get("elem", ()))


def passes(lab: Lab, *destinations: tuple[str, int]) -> list[bool]:
    """Send a packet to each destination, and return which ones pass the recipe's chain."""
    sources: list[int] = []
    probes: list[str] = []
    for address, port in destinations:
        source = next(_source_ports)
        sources.append(source)
        probes.append(f"{source},{address},{port}")
    lab.output(sys.executable, "-c", SEND, SERVER, *probes, namespace="server")

    passed: set[int] = set()

    def all_have_arrived() -> bool:
        passed.update(elements(lab, "witness", "passed"))
        stopped = elements(lab, "filter", "stopped")
        return {*sources} <= passed | stopped

    wait_until(all_have_arrived, "every packet has passed or was stopped")
    return [source in passed for source in sources]


def open_ports(lab: Lab) -> set[int]:
    """Return the ports that the recipe has opened."""
    return elements(lab, "filter", "teredo")


def recipe() -> list[str]:
    """Return the recipe's command, as a shell reads it, with stderr in its output."""
    return ["sh", "-c", f"exec {block(PAGE, 'sh', 'nft').rstrip()} 2>&1"]


def recipe_of_unit() -> list[str]:
    """Return the unit's command, with the unit's capabilities and no other."""
    service = service_section()
    capability = service["AmbientCapabilities"].removeprefix("CAP_").lower()
    command = service["ExecStart"].removeprefix("/opt/aioteredo/bin/")
    only = [f"--{name}=-all,+{capability}" for name in ("inh-caps", "bounding-set")]
    return ["setpriv", *only, "sh", "-c", f"exec {command} 2>&1"]


@pytest.mark.parametrize("command", [recipe, recipe_of_unit])
def test_firewall_follows_a_client_that_restarts(
    lab: Lab, command: Callable[[], list[str]]
) -> None:
    """Only packets to the present port pass, and none while the client has no port."""
    client = lab.start()
    first = lab.wait_for_port()
    assert passes(lab, (CLIENT, first)) == [False]

    follower = lab.spawn(*command())
    wait_until(lambda: open_ports(lab) == {first}, "the port is open")
    assert passes(lab, (CLIENT, first)) == [True]

    client.stop()
    wait_until(lambda: open_ports(lab) == {0}, "no port is open")
    assert passes(lab, (CLIENT, first)) == [False]

    lab.start()
    second = lab.wait_for_port(first)
    wait_until(lambda: open_ports(lab) == {second}, "the new port is open")
    assert passes(lab, (CLIENT, first), (CLIENT, second)) == [False, True]

    follower.terminate()
    assert follower.stdout is not None
    assert follower.stdout.read() == ""
    assert follower.wait(limit()) == -signal.SIGTERM
    lab.output("sh", "-c", service_section()["ExecStopPost"])
    assert passes(lab, (CLIENT, second)) == [False]


def test_firewall_lets_the_multicast_address_pass(lab: Lab) -> None:
    """A packet to 224.0.0.253, port 3544, arrives; another address or port is closed."""
    listener = lab.spawn(sys.executable, "-c", LISTEN, CLIENT, *map(str, MULTICAST))
    assert listener.stdout is not None
    assert listener.stdout.readline() == "ready\n"

    closed = [(TEREDO_MULTICAST_ADDRESS, 3545), (CLIENT, TEREDO_MULTICAST_PORT)]
    assert passes(lab, *closed, MULTICAST) == [False, False, True]
    assert listener.stdout.readline().startswith(f"b'probe' ('{SERVER}'")
    assert listener.wait(limit()) == 0
