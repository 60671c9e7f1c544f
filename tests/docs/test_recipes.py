"""The README's recipes with ``aioteredo exec``, run as they are printed there.

The nftables recipe follows a real Miredo, and packets arrive from another network
namespace. ``systemd-analyze`` checks the unit, and its command runs with the unit's
capabilities. In the recipes for Windows, a recorder replaces the firewall's program.
"""

from __future__ import annotations

import configparser
import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aioteredo import TEREDO_MULTICAST_ADDRESS, TEREDO_MULTICAST_PORT

from ..support.readme import block
from ..support.requirements import require
from ..support.waiting import limit, wait_until

if TYPE_CHECKING:
    from ..support.miredo_lab import Lab

MULTICAST = (TEREDO_MULTICAST_ADDRESS, TEREDO_MULTICAST_PORT)


# nftables, on a real Miredo


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
        lab.output("nft", "-f", "-", text=block("nft", "set teredo"))
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


def service_section() -> configparser.SectionProxy:
    """Return the section [Service] of the recipe's unit."""
    # A strict parser would refuse the second SystemCallFilter, which removes system calls
    # from the list of the first.
    parser = configparser.RawConfigParser(delimiters="=", strict=False)
    parser.read_string(block("ini", "[Unit]").replace("\\\n", " "))
    return parser["Service"]


def recipe() -> list[str]:
    """Return the recipe's command, as a shell reads it, with stderr in its output."""
    return ["sh", "-c", f"exec {block('sh', 'nft')} 2>&1"]


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


# the systemd unit


def analyze(verb: str, *options: str, unit: Path) -> subprocess.CompletedProcess[str]:
    """Let ``systemd-analyze`` read a unit, without starting it."""
    program = shutil.which("systemd-analyze")
    require("systemd", None if program else "systemd-analyze is not installed")
    assert program is not None
    return subprocess.run(
        [program, verb, *options, str(unit)],
        capture_output=True,
        text=True,
        timeout=limit(),
        check=False,
    )


@pytest.fixture
def unit_file(tmp_path: Path) -> Path:
    """The recipe's unit in a file."""
    file = tmp_path / "aioteredo.service"
    file.write_text(block("ini", "[Unit]"))
    return file


def exposure(unit: Path) -> float:
    """Return systemd's exposure level of the unit: 0 is the safest, 10 the least safe."""
    done = analyze("security", "--offline=true", "--no-pager", unit=unit)
    (found,) = re.findall(r"exposure level for .*: (\d+\.\d)", done.stdout)
    return float(found)


def test_unit_passes_the_check_of_systemd(unit_file: Path) -> None:
    """``systemd-analyze verify`` finds no fault in the unit."""
    # The check requires that the programs of the unit exist.
    programs_here = {
        "/opt/aioteredo/bin": str(Path(sys.executable).parent),
        "/usr/sbin/nft": shutil.which("true") or "",
    }
    text = unit_file.read_text()
    for path, path_here in programs_here.items():
        assert path in text
        text = text.replace(path, path_here)
    unit_file.write_text(text)

    done = analyze("verify", "--man=no", unit=unit_file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_unit_has_a_low_exposure(unit_file: Path) -> None:
    """The exposure level stays at or below the limit that this project accepts."""
    assert exposure(unit_file) <= 1.2


# Windows


RECORD = """
import json, sys
with open(sys.argv[1], "a") as file:
    print(json.dumps(sys.argv[2:]), file=file)
"""


@contextlib.contextmanager
def following(command: str, program: str, *others: str) -> Iterator[None]:
    """Run the recipe on the simulated client, with *others* in place of its program."""
    words = [word.strip('"') for word in shlex.split(command, posix=False)]
    assert words[0] == "aioteredo"
    position = words.index(program)
    words[position : position + 1] = others

    with subprocess.Popen(
        [sys.executable, "-m", *words],
        env=os.environ | {"AIOTEREDO_BACKEND": "simulated"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(limit())


def recorded_calls(file: Path, count: int) -> list[list[str]]:
    """Wait until the recorder has been called, and return the arguments of each call.

    :param count: the number of calls to wait for and to return
    """

    def are_all_recorded() -> bool:
        return file.exists() and file.read_bytes().count(b"\n") >= count

    wait_until(are_all_recorded, f"{count} calls are recorded")
    return [json.loads(line) for line in file.read_text().splitlines()[:count]]


def test_firewall_program_receives_each_port(tmp_path: Path) -> None:
    """The recipe calls the firewall's program with the rule and the port."""
    file = tmp_path / "calls"
    recorder = [sys.executable, "-c", RECORD, str(file)]
    with following(block("bat", "-- netsh"), "netsh", *recorder):
        calls = recorded_calls(file, 3)

    rule = "advfirewall firewall set rule name=Teredo dir=in new protocol=udp"
    ports = [int(call[-1].removeprefix("localport=")) for call in calls]
    for call, port in zip(calls, ports, strict=True):
        assert call == [*rule.split(), f"localport={port}"]
    assert len({*ports} - {0}) >= 2


@pytest.mark.skipif(sys.platform != "win32", reason="a batch file needs Windows")
def test_router_keeps_one_mapping(tmp_path: Path) -> None:
    """The batch file deletes the previous mapping, even one of an earlier process."""
    file = tmp_path / "calls"
    recorder = tmp_path / "record.py"
    recorder.write_text(RECORD)
    batch = tmp_path / "map.cmd"
    upnpc = f'"{sys.executable}" "{recorder}" "{file}"'
    batch.write_text(block("bat", "upnpc -d").replace("upnpc", upnpc))
    recipe = block("bat", "aioteredo exec --initial --no-port 0 -- cmd")

    calls: list[list[str]] = []
    for _ in range(2):
        with following(recipe, r"C:\teredo\map.cmd", str(batch)):
            calls = recorded_calls(file, len(calls) + 3)

    mapped: list[str] = []
    for option, port, protocol in calls:
        assert protocol == "udp"
        if option == "-d":
            assert mapped.pop() == port
        else:
            assert option == "-r"
            mapped.append(port)
        assert len(mapped) <= 1
    assert len({port for _, port, _ in calls}) > 2
