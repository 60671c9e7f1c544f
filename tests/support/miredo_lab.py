"""A network with a real Miredo, made of network namespaces that end with the lab.

The namespaces are named after this process, and only the lab's own processes are ended.
``python -m tests.support.miredo_lab [RESTARTS]`` prints how long the events take.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import json
import os
import pwd
import queue
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from aioteredo import TeredoAddress

from .waiting import join, limit, start_thread, wait_until

NAT_PORT = 40000  # the port that the NAT gives to the client on the outside
_numbers = itertools.count()


def missing() -> str | None:
    """Return the reason why the lab cannot run on this machine, or None."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("miredo", "miredo-server", "ip", "nft"):
        if shutil.which(program, path=_PATH) is None:
            return f"{program} is not installed"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    return None


_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def run(*command: str, text: str | None = None) -> str:
    """Run *command* with *text* as its input, and return its output."""
    return subprocess.run(
        command,
        check=True,
        timeout=limit(),
        input=text,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PATH": _PATH},
    ).stdout


def user_and_group(name: str) -> tuple[int, int]:
    if sys.platform != "linux":
        raise NotImplementedError
    entry = pwd.getpwnam(name)
    return entry.pw_uid, entry.pw_gid


def end(process: subprocess.Popen[str]) -> None:
    """End a process that the lab started, and its remaining children."""
    if sys.platform != "linux":
        raise NotImplementedError
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(limit() / 4)
    with suppress(ProcessLookupError):  # each process leads its own group
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(limit())


class Lab:
    """A Teredo server and a host for a client, with or without a NAT between them."""

    def __init__(self, *, nat: bool = False) -> None:
        self._nat = nat
        self._prefix = f"aioteredo-{os.getpid()}-{next(_numbers)}-"
        self._stack = ExitStack()
        self._uid, _ = user_and_group("miredo")

    def __enter__(self) -> Self:
        with ExitStack() as self._stack:
            self._directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
            self._build()
            self._holder = self._start("client", "sleep", "infinity")
            self._stack.callback(end, self._holder)
            wait_until(lambda: self._inside(self._holder.pid), "entering the namespace")
            self._stack.callback(end, self._start_server())
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _build(self) -> None:
        for name in ("server", "client", "nat") if self._nat else ("server", "client"):
            run("ip", "netns", "add", self._prefix + name)
            self._stack.callback(run, "ip", "netns", "del", self._prefix + name)
            run("ip", "-n", self._prefix + name, "link", "set", "lo", "up")
        between = "nat" if self._nat else "client"
        self._join("server", ["192.0.2.1/24", "192.0.2.2/24"], between, "192.0.2.10/24")
        if self._nat:
            self._join("nat", ["198.51.100.1/24"], "client", "198.51.100.2/24")
            client = self._prefix + "client"
            nat = self._prefix + "nat"
            run("ip", "-n", client, "route", "add", "default", "via", "198.51.100.1")
            run(
                *("ip", "netns", "exec", nat, "sh", "-c"),
                "echo 1 > /proc/sys/net/ipv4/ip_forward",
            )
            rules = (
                "table ip nat {\nchain out {\n"
                "type nat hook postrouting priority 100\n"
                f"oifname to-server meta l4proto udp masquerade to :{NAT_PORT}\n"
                "}\n}\n"
            )
            run("ip", "netns", "exec", nat, "nft", "-f", "-", text=rules)

    def _join(self, one: str, addresses: list[str], other: str, address: str) -> None:
        near = self._prefix + one
        far = self._prefix + other
        run(
            *("ip", "link", "add", f"to-{other}", "netns", near, "type", "veth"),
            *("peer", "name", f"to-{one}", "netns", far),
        )
        for each in addresses:
            run("ip", "-n", near, "addr", "add", each, "dev", f"to-{other}")
        run("ip", "-n", far, "addr", "add", address, "dev", f"to-{one}")
        run("ip", "-n", near, "link", "set", f"to-{other}", "up")
        run("ip", "-n", far, "link", "set", f"to-{one}", "up")

    def _start(self, namespace: str, *command: str) -> subprocess.Popen[str]:
        # ``ip netns exec`` becomes the command, so the process id is that of the command.
        return subprocess.Popen(
            ["ip", "netns", "exec", self._prefix + namespace, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
            env=os.environ | {"PATH": _PATH},
        )

    def _inside(self, pid: int) -> bool:
        theirs = os.stat(f"/proc/{pid}/ns/net")
        named = os.stat(f"/run/netns/{self._prefix}client")
        return (theirs.st_dev, theirs.st_ino) == (named.st_dev, named.st_ino)

    def _start_server(self) -> subprocess.Popen[str]:
        configuration = self._directory / "server.conf"
        configuration.write_text("ServerBindAddress 192.0.2.1\n")
        pidfile = str(self._directory / "server.pid")
        return self._start(
            *("server", "miredo-server", "-f", "-c", str(configuration), "-p", pidfile)
        )

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """End all processes that are started in the block, but keep the network."""
        outer = self._stack
        self._stack = ExitStack()
        try:
            with self._stack:
                yield
            self.wait_for_no_port()
        finally:
            self._stack = outer

    # the client

    def start(self, *directives: str) -> Client:
        """Start Miredo, which ends with the lab at the latest.

        :param directives: lines of its configuration, before the usual ones. If Miredo
            reads a directive twice, the first line counts
        """
        lines = [*directives, "RelayType client", "ServerAddress 192.0.2.1"]
        configuration = self._directory / "client.conf"
        configuration.write_text("".join(f"{line}\n" for line in lines))
        pidfile = self._directory / "client.pid"
        pidfile.unlink(missing_ok=True)
        monitor = self._start(
            *("client", "miredo", "-f", "-c", str(configuration), "-p", str(pidfile))
        )
        self._stack.callback(end, monitor)
        return Client(self, monitor)

    def ports(self) -> list[int]:
        """Return the ports of Miredo's unconnected sockets that root sees in /proc."""
        rows = Path(f"/proc/{self._holder.pid}/net/udp").read_text().splitlines()[1:]
        fields = [row.split() for row in rows]
        return [
            int(row[1].rpartition(":")[2], 16)
            for row in fields
            if int(row[7]) == self._uid and row[3] == "07"
        ]

    def teredo_address(self) -> ipaddress.IPv6Address | None:
        """Return the client's Teredo address, or None before it has one."""
        rows = Path(f"/proc/{self._holder.pid}/net/if_inet6").read_text().splitlines()
        for row in rows:
            address = ipaddress.IPv6Address(int(row.split()[0], 16))
            if address.teredo is not None:
                return address
        return None

    def wait_for_address(self) -> ipaddress.IPv6Address:
        """Wait for the client's Teredo address, and return it."""
        wait_until(lambda: self.teredo_address() is not None, "a Teredo address")
        address = self.teredo_address()
        assert address is not None
        return address

    def wait_for_port(self, *not_these: int) -> int:
        """Wait until Miredo is bound to a port except *not_these*, and return the port."""
        wait_until(lambda: bool(set(self.ports()) - set(not_these)), "a port")
        (port,) = set(self.ports()) - set(not_these)
        return port

    def wait_for_no_port(self) -> None:
        wait_until(lambda: not self.ports(), "no port")

    def watch(self, namespace: str = "client") -> Watcher:
        """Start a watcher, which ends with the lab at the latest."""
        watcher = Watcher(self._prefix + namespace, "watch")
        self._stack.callback(watcher.end)
        return watcher

    def command_line(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``aioteredo`` in the client's namespace. It ends with the lab."""
        return self.spawn(sys.executable, "-m", "aioteredo", *arguments)

    def spawn(self, *command: str, namespace: str = "client") -> subprocess.Popen[str]:
        """Start a program that finds the programs of this environment on its path."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self._prefix + namespace, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
            env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{_PATH}"},
        )
        assert process.stdout is not None
        self._stack.callback(process.stdout.close)
        self._stack.callback(end, process)
        return process

    def output(
        self, *command: str, namespace: str = "client", text: str | None = None
    ) -> str:
        """Run a program with *text* as its input, and return its output."""
        return run("ip", "netns", "exec", self._prefix + namespace, *command, text=text)

    def get_port(self) -> int | None:
        """Return the result of ``get_teredo_port()`` in the client's namespace."""
        with self.watcher("port") as watcher:
            port = watcher.first["port"]
        assert port is None or isinstance(port, int)
        return port

    def get_addresses(self) -> tuple[TeredoAddress, ...]:
        """Return the result of ``get_teredo_addresses()`` in the client's namespace."""
        with self.watcher("get-addresses") as watcher:
            return addresses_of(watcher.first)

    @contextmanager
    def watcher(self, action: str) -> Iterator[Watcher]:
        """Start a watcher in the client's namespace, which ends with the block."""
        watcher = Watcher(self._prefix + "client", action)
        try:
            yield watcher
        finally:
            watcher.end()

    def connect_server(self, on: bool) -> None:
        """Connect the server to the network, or disconnect it."""
        near = "nat" if self._nat else "client"
        state = "up" if on else "down"
        run("ip", "-n", self._prefix + "server", "link", "set", f"to-{near}", state)


class Client:
    """A running Miredo."""

    def __init__(self, lab: Lab, monitor: subprocess.Popen[str]) -> None:
        self._lab = lab
        self._monitor = monitor

    def stop(self) -> None:
        """Stop Miredo once it has found its server, because it can lose earlier signals."""
        self._lab.wait_for_address()
        end(self._monitor)

    def reload(self) -> None:
        """Make Miredo replace its worker, and with it the port."""
        if sys.platform != "linux":
            raise NotImplementedError
        self._lab.wait_for_address()
        self._monitor.send_signal(signal.SIGHUP)

    def crash(self) -> None:
        """Kill the worker. The monitor starts another one after a second."""
        if sys.platform != "linux":
            raise NotImplementedError
        children = f"/proc/{self._monitor.pid}/task/{self._monitor.pid}/children"
        for pid in Path(children).read_text().split():
            os.kill(int(pid), signal.SIGKILL)


class Watcher:
    """A process without privileges that prints the results of the public functions.

    It begins as root, because ``nobody`` may be unable to read this directory and the
    interpreter. It drops its privileges after it has imported everything.
    """

    def __init__(self, namespace: str, action: str) -> None:
        self._process = subprocess.Popen(
            [
                *("ip", "netns", "exec", namespace),
                *(sys.executable, "-m", "tests.support.miredo_lab", action),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            text=True,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"PATH": _PATH},
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = start_thread(self._read)
        self.privileges = self.take()
        self.first = self.take()  # the answer, or the initial event: the watch is open

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(line)

    def take(self) -> dict[str, object]:
        """Return the next line, parsed."""
        line: dict[str, object] = json.loads(self._lines.get(timeout=limit()))
        return line

    def take_port(self) -> int | None:
        """Return the port of the next event."""
        port = self.take()["port"]
        assert port is None or isinstance(port, int)
        return port

    def take_addresses(self) -> tuple[TeredoAddress, ...]:
        """Return the addresses of the next event."""
        return addresses_of(self.take())

    def rest(self) -> list[dict[str, object]]:
        """End the process, and return the lines that no test has taken."""
        self.end()
        return [self.take() for _ in range(self._lines.qsize())]

    def end(self) -> None:
        end(self._process)
        join(self._reader)


def addresses_of(line: dict[str, object]) -> tuple[TeredoAddress, ...]:
    """Return the addresses in a line of a watcher."""
    addresses = line["addresses"]
    assert isinstance(addresses, list)
    return tuple(map(TeredoAddress, addresses))


# The process of the watcher


def drop_privileges() -> dict[str, object]:
    """Become ``nobody`` without capabilities, and return the kernel's view of it."""
    if sys.platform != "linux":
        raise NotImplementedError
    uid, gid = user_and_group("nobody")
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    status = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    return {
        "uid": fields["Uid"].split(),
        "groups": fields["Groups"].split(),
        "CapEff": fields["CapEff"],
        "CapPrm": fields["CapPrm"],
    }


def print_json(**line: object) -> None:
    print(json.dumps(line), flush=True)


async def run_watcher(action: str) -> None:
    import aioteredo

    hasattr(aioteredo, "MiredoBackend")  # this imports it, while root may read it
    async with aioteredo.watch_teredo_port(backend="simulated", initial=True) as events:
        await events.receive()
    await aioteredo.get_teredo_addresses(backend="simulated", wait_until_stable=True)
    print_json(**drop_privileges())

    with aioteredo.use_backend("miredo"):
        match action:
            case "port":
                print_json(port=await aioteredo.get_teredo_port())
            case "get-addresses":
                print_addresses(await aioteredo.get_teredo_addresses())
            case "stable-addresses":
                print_addresses(await aioteredo.get_teredo_addresses())
                print_addresses(
                    await aioteredo.get_teredo_addresses(wait_until_stable=True)
                )
            case "watch-addresses":
                await watch_addresses()
            case "watch":
                await watch_ports()


async def watch_ports() -> None:
    import aioteredo

    async with aioteredo.watch_teredo_port(initial=True, max_buffer_size=1000) as events:
        async for event in events:
            print_json(
                port=event.port,
                type=int(event.notification_type),
                missed=event.missed,
                ns=time.monotonic_ns(),  # the time when the consumer has the event
            )


async def watch_addresses() -> None:
    import aioteredo

    async with aioteredo.watch_teredo_addresses(initial=True) as events:
        async for event in events:
            print_addresses(event.addresses)


def print_addresses(addresses: tuple[TeredoAddress, ...]) -> None:
    print_json(addresses=[str(address) for address in addresses])


# The measurement


def measure(restarts: int) -> None:
    """Print upper bounds of the time from bind and close to ``async for``.

    The time begins with the last read of /proc that did not show the change yet.
    """
    binds: list[int] = []
    closes: list[int] = []
    with Lab() as lab:
        watcher = lab.watch()
        assert watcher.first["port"] is None
        for _ in range(restarts):
            client = lab.start()
            port = _spin(lambda: bool(lab.ports()))
            event = watcher.take()
            assert [event["port"]] == lab.ports(), (event, lab.ports())
            binds.append(int(str(event["ns"])) - port)
            lab.wait_for_address()
            stopper = start_thread(client.stop)
            gone = _spin(lambda: not lab.ports())
            event = watcher.take()
            assert event["port"] is None
            closes.append(int(str(event["ns"])) - gone)
            join(stopper)
    for name, figures in (("bind", binds), ("close", closes)):
        p95 = statistics.quantiles(figures, n=20, method="inclusive")[-1]
        print(
            f"{name:>5} → event, {restarts} restarts, ms: "
            f"median {statistics.median(figures) / 1e6:.2f}, "
            f"p95 {p95 / 1e6:.2f}, max {max(figures) / 1e6:.2f}, "
            f"min {min(figures) / 1e6:.2f}"
        )


def _spin(condition: Callable[[], bool]) -> int:
    # Return the time of the last check that failed, so no time is measured too short.
    deadline = time.monotonic() + limit()
    before = time.monotonic_ns()
    while True:
        looked = time.monotonic_ns()
        if condition():
            return before
        before = looked
        if time.monotonic() > deadline:
            raise TimeoutError


if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].isdecimal():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        asyncio.run(run_watcher(sys.argv[1]))
    else:
        reason = missing()
        if reason is not None:
            sys.exit(reason)
        measure(int(sys.argv[1]) if sys.argv[1:] else 20)
