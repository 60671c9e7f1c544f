"""The cost of the MQTT recipe for a broker: ``python -m benchmarks.fleet [HOSTS] [plain]``.

The hosts are bare MQTT connections in this process, with a will and a retained port each,
as in docs/recipes/mqtt.md. The broker is Mosquitto with TLS, or without it (``plain``), and
checks no passwords. Each host needs a descriptor here and another one in the broker.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if sys.platform != "linux":
    sys.exit("benchmarks.fleet: Linux is needed, which shows the memory of the broker")

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, PINGRESP = 1, 2, 3, 4, 8, 12, 13

# Flags of a packet
QOS_1_RETAIN = 0b0011
RESERVED_OF_SUBSCRIBE = 0b0010

# Flags of CONNECT
RETAINED_WILL_AND_CLEAN_START = 0b0010_1110
CLEAN_START = 0b0000_0010

PORT = 18_830
CONCURRENT_CONNECTS = 200
NO_PROPERTIES = b"\0"


def run(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a program, which may be in a directory for root."""
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        sys.exit(f"benchmarks.fleet: {name} is missing; install the package {name}")
    command = [program, *arguments]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - no part is a user's input


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data


class Connection:
    """A connection that has been accepted by the broker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, broker: Broker, name: str, topic: str | None) -> Connection:
        """Connect to the broker, with a will that deletes the message of *topic*."""
        streams = await asyncio.open_connection("localhost", PORT, ssl=broker.context)
        self = cls(*streams)
        flags = CLEAN_START if topic is None else RETAINED_WILL_AND_CLEAN_START
        will = b"" if topic is None else NO_PROPERTIES + text(topic) + text("")
        header = text("MQTT") + bytes([5, flags]) + struct.pack(">H", 60)
        self.send(CONNECT, header + NO_PROPERTIES + text(name) + will)
        await self.receive(CONNACK)
        return self

    def send(self, kind: int, body: bytes = b"", flags: int = 0) -> None:
        assert len(body) < 128, "a longer packet needs more bytes for its length"
        self._writer.write(bytes([kind << 4 | flags, len(body)]) + body)

    async def receive(self, kind: int) -> None:
        """Receive packets until one of this kind has come."""
        received = None
        while received != kind:
            received = (await self._reader.readexactly(1))[0] >> 4
            length = shift = 0
            more = True
            while more:
                byte = (await self._reader.readexactly(1))[0]
                length |= (byte & 127) << shift
                shift += 7
                more = byte >= 128
            await self._reader.readexactly(length)

    async def publish(self, topic: str, payload: str) -> None:
        body = text(topic) + struct.pack(">H", 1) + NO_PROPERTIES + payload.encode()
        self.send(PUBLISH, body, QOS_1_RETAIN)
        await self.receive(PUBACK)


class Broker:
    """A process of Mosquitto, and the numbers that Linux has about it."""

    def __init__(self, directory: Path, *, tls: bool) -> None:
        # As root, the broker would become a user who could not read the files.
        configuration = f"listener {PORT} 127.0.0.1\nallow_anonymous true\nuser root\n"
        self.context: ssl.SSLContext | None = None
        if tls:
            configuration += self._make_certificate(directory)

        file = directory / "mosquitto.conf"
        file.write_text(configuration)
        self.process = run("mosquitto", "-c", str(file))

    def _make_certificate(self, directory: Path) -> str:
        """Make a certificate, and return the lines of the configuration for it."""
        certificate, key = directory / "broker.pem", directory / "broker.key"
        name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        files = ["-out", str(certificate), "-keyout", str(key)]
        run("openssl", "req", "-x509", *name, *curve, *files).wait()
        self.context = ssl.create_default_context(cafile=certificate)
        return f"certfile {certificate}\nkeyfile {key}\n"

    def megabytes(self) -> float:
        """The resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def seconds(self) -> float:
        """The processor time."""
        fields = (
            Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        )
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def connect_host(broker: Broker, number: int, limit: asyncio.Semaphore) -> Connection:
    topic = f"teredo/host{number}/port"
    async with limit:
        host = await Connection.open(broker, f"host{number}", topic)
        await host.publish(topic, str(40_000 + number))
    return host


async def ping(host: Connection) -> None:
    host.send(PINGREQ)
    await host.receive(PINGRESP)


async def measure(broker: Broker, hosts: int) -> None:
    while True:  # until the broker listens
        try:
            monitor = await Connection.open(broker, "monitor", None)
            break
        except ConnectionError:
            await asyncio.sleep(0.01)
    empty = broker.megabytes()

    start, cost = time.perf_counter(), broker.seconds()
    limit = asyncio.Semaphore(CONCURRENT_CONNECTS)
    fleet = await asyncio.gather(*(connect_host(broker, n, limit) for n in range(hosts)))
    print(f"connect and publish: {time.perf_counter() - start:.1f} s,", end=" ")
    print(f"of which the broker's processor time {broker.seconds() - cost:.2f} s")
    print(f"memory of the broker: {empty:.1f} MB, then {broker.megabytes():.1f} MB")

    start = time.perf_counter()
    subscription = struct.pack(">H", 1) + NO_PROPERTIES + text("teredo/+/port") + b"\0"
    monitor.send(SUBSCRIBE, subscription, RESERVED_OF_SUBSCRIBE)
    for _ in range(hosts):
        await monitor.receive(PUBLISH)
    print(f"snapshot for a new monitor: {1000 * (time.perf_counter() - start):.0f} ms")

    start = time.perf_counter()
    await fleet[0].publish("teredo/host0/port", "1")
    await monitor.receive(PUBLISH)
    print(f"one change: {1000 * (time.perf_counter() - start):.1f} ms")

    cost = broker.seconds()
    await asyncio.gather(*map(ping, fleet))
    print(
        f"a ping of each host: {broker.seconds() - cost:.2f} s of processor time a minute"
    )


def main() -> None:
    arguments = sys.argv[1:]
    tls = "plain" not in arguments
    hosts = next((int(argument) for argument in arguments if argument.isdecimal()), 10_000)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < hosts + 100:
        sys.exit(f"benchmarks.fleet: {hosts} hosts need more descriptors than {most}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    with tempfile.TemporaryDirectory() as directory:
        broker = Broker(Path(directory), tls=tls)
        try:
            asyncio.run(measure(broker, hosts))
        finally:
            broker.process.kill()
            broker.process.wait()


if __name__ == "__main__":
    main()
