"""The README's recipes with ``aioteredo exec``, as they are printed there.

nftables has a real Miredo, with packets that come from another machine's namespace. The
unit is checked by systemd's own program, and its command is run with no more than the
unit's capabilities. On Windows it is tried what is given to the program of a firewall.
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


SERVER, CLIENT = "192.0.2.1", "192.0.2.10"  # the lab's
_sources = itertools.count(20001)

# What is behind the recipe's chain saw all that this let pass. What came to the end of
# the chain met its policy. Each probe is told by its source port.
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
    """The lab, with the recipe's ruleset in front of the client."""
    if sys.platform != "linux":
        pytest.skip("nftables is Linux's")
    from ..support import miredo_lab

    require("miredo", miredo_lab.missing())
    with miredo_lab.Lab() as lab:
        lab.output("nft", "-f", "-", text=block("nft", "set teredo"))
        lab.output("nft", "-f", "-", text=WITNESS)
        yield lab


def elements(lab: Lab, table: str, name: str) -> set[int]:
    listing = json.loads(lab.output("nft", "-j", "list", "set", "inet", table, name))
    (found,) = [item["set"] for item in listing["nftables"] if "set" in item]
    return set(found.get("elem", ()))


def passes(lab: Lab, *to: tuple[str, int]) -> list[bool]:
    """Which of the packets get through the recipe's chain."""
    sources = [next(_sources) for _ in to]
    probes = [
        f"{s},{address},{port}" for s, (address, port) in zip(sources, to, strict=True)
    ]
    lab.output(sys.executable, "-c", SEND, SERVER, *probes, namespace="server")
    fates: dict[str, set[int]] = {}

    def known() -> bool:
        fates["stopped"] = elements(lab, "filter", "stopped")
        fates["passed"] = elements(lab, "witness", "passed")
        return {*sources} <= fates["stopped"] | fates["passed"]

    wait_until(known, "the packets' fate")
    return [source in fates["passed"] for source in sources]


def opened(lab: Lab) -> set[int]:
    return elements(lab, "filter", "teredo")


def unit() -> configparser.SectionProxy:
    # SystemCallFilter is there twice: a list, and what is taken from it.
    parser = configparser.RawConfigParser(delimiters="=", strict=False)
    parser.read_string(block("ini", "[Unit]").replace("\\\n", " "))
    return parser["Service"]


def recipe() -> list[str]:
    """The command, as a shell reads it; what it says comes with its output."""
    return ["sh", "-c", f"exec {block('sh', 'nft')} 2>&1"]


def recipe_of_unit() -> list[str]:
    """The unit's command, with the unit's capabilities and no other."""
    capability = unit()["AmbientCapabilities"].removeprefix("CAP_").lower()
    command = unit()["ExecStart"].removeprefix("/opt/aioteredo/bin/")
    only = [f"--{name}=-all,+{capability}" for name in ("inh-caps", "bounding-set")]
    return ["setpriv", *only, "sh", "-c", f"exec {command} 2>&1"]


@pytest.mark.parametrize("command", [recipe, recipe_of_unit])
def test_firewall_follows_a_client_that_restarts(
    lab: Lab, command: Callable[[], list[str]]
) -> None:
    """The port of now passes, the one before does not, and without one none does."""
    client = lab.start()
    first = lab.wait_for_port()
    assert passes(lab, (CLIENT, first)) == [False]

    follower = lab.spawn(*command())
    wait_until(lambda: opened(lab) == {first}, "the port is open")
    assert passes(lab, (CLIENT, first)) == [True]

    client.stop()
    wait_until(lambda: opened(lab) == {0}, "no port is open")
    assert passes(lab, (CLIENT, first)) == [False]

    lab.start()
    second = lab.wait_for_port(first)
    wait_until(lambda: opened(lab) == {second}, "the new port is open")
    assert passes(lab, (CLIENT, first), (CLIENT, second)) == [False, True]

    follower.terminate()
    assert follower.stdout is not None
    assert follower.stdout.read() == ""
    assert follower.wait(limit()) == -signal.SIGTERM
    lab.output("sh", "-c", unit()["ExecStopPost"])
    assert passes(lab, (CLIENT, second)) == [False]


def test_firewall_opens_the_multicast_address(lab: Lab) -> None:
    """What another client says to 224.0.0.253, port 3544, is received, and only that."""
    listener = lab.spawn(sys.executable, "-c", LISTEN, CLIENT, *map(str, MULTICAST))
    assert listener.stdout is not None
    assert listener.stdout.readline() == "ready\n"
    closed = [(TEREDO_MULTICAST_ADDRESS, 3545), (CLIENT, TEREDO_MULTICAST_PORT)]
    assert passes(lab, *closed, MULTICAST) == [False, False, True]
    assert listener.stdout.readline().startswith(f"b'probe' ('{SERVER}'")
    assert listener.wait(limit()) == 0


# the systemd unit


def analyze(verb: str, *options: str, unit: Path) -> subprocess.CompletedProcess[str]:
    """Have systemd's own program look at a unit, which it does not start."""
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
    file = tmp_path / "aioteredo.service"
    file.write_text(block("ini", "[Unit]"))
    return file


def exposure(unit: Path) -> float:
    """How much of the machine the unit leaves open to its process, of 10."""
    done = analyze("security", "--offline=true", "--no-pager", unit=unit)
    (found,) = re.findall(r"exposure level for .*: (\d+\.\d)", done.stdout)
    return float(found)


def test_unit_is_valid(unit_file: Path) -> None:
    """Nothing in the unit is anything to ``systemd-analyze verify``."""
    here = {"/opt/aioteredo/bin": str(Path(sys.executable).parent)}
    here["/usr/sbin/nft"] = shutil.which("true") or ""
    text = unit_file.read_text()
    for path, other in here.items():
        assert path in text
        text = text.replace(path, other)
    unit_file.write_text(text)
    done = analyze("verify", "--man=no", unit=unit_file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_unit_leaves_little_open(unit_file: Path) -> None:
    """The figure of systemd for the unit's exposure stays low."""
    assert exposure(unit_file) <= 1.2


# Windows


RECORD = """
import json, sys
with open(sys.argv[1], "a") as file:
    print(json.dumps(sys.argv[2:]), file=file)
"""


@contextlib.contextmanager
def following(command: str, program: str, *others: str) -> Iterator[None]:
    """Run the recipe with *others* for its program, on the simulated client."""
    words = [word.strip('"') for word in shlex.split(command, posix=False)]
    assert words[0] == "aioteredo"
    at = words.index(program)
    words[at : at + 1] = others
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


def recorded(file: Path, count: int) -> list[list[str]]:
    """The first *count* calls."""
    wait_until(
        lambda: file.exists() and file.read_bytes().count(b"\n") >= count, "the calls"
    )
    return [json.loads(line) for line in file.read_text().splitlines()[:count]]


def test_firewall_program_is_given_the_port(tmp_path: Path) -> None:
    """The program that stands for a firewall's gets a port where it is to be."""
    file = tmp_path / "calls"
    recorder = [sys.executable, "-c", RECORD, str(file)]
    with following(block("bat", "-- netsh"), "netsh", *recorder):
        calls = recorded(file, 3)
    rule = "advfirewall firewall set rule name=Teredo dir=in new protocol=udp"
    ports = [int(call[-1].removeprefix("localport=")) for call in calls]
    for call, port in zip(calls, ports, strict=True):
        assert call == [*rule.split(), f"localport={port}"]
    assert len({*ports} - {0}) >= 2


@pytest.mark.skipif(sys.platform != "win32", reason="a batch file is for Windows")
def test_router_keeps_one_mapping(tmp_path: Path) -> None:
    """The batch file has the mapping before deleted, also that of a process before."""
    file, recorder = tmp_path / "calls", tmp_path / "record.py"
    recorder.write_text(RECORD)
    batch = tmp_path / "map.cmd"
    upnpc = f'"{sys.executable}" "{recorder}" "{file}"'
    batch.write_text(block("bat", "upnpc -d").replace("upnpc", upnpc))
    recipe = block("bat", "aioteredo exec --initial --no-port 0 -- cmd")
    calls: list[list[str]] = []
    for _ in range(2):
        with following(recipe, r"C:\teredo\map.cmd", str(batch)):
            calls = recorded(file, len(calls) + 3)
    mapped: list[str] = []
    for what, port, protocol in calls:
        assert protocol == "udp"
        if what == "-d":
            assert mapped.pop() == port
        else:
            assert what == "-r"
            mapped.append(port)
        assert len(mapped) <= 1
    assert len({port for _, port, _ in calls}) > 2
