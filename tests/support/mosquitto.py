"""A Mosquitto broker for the tests, and a proxy between a host and the broker."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, Self

from .waiting import kill_at_the_limit, limit, start_thread, wait_until

PROGRAMS: Final = (
    "mosquitto",
    "mosquitto_passwd",
    "mosquitto_pub",
    "mosquitto_sub",
    "openssl",
)

PASSWORD: Final = "secret"
"""The password of every user."""

PROBE: Final = "probe"
"""A user of the tests, who may read and write every topic."""

_END: Final = "end-of-snapshot"


def missing() -> str | None:
    """Return which program is missing, or None."""
    absent = [
        program for program in PROGRAMS if shutil.which(program, path=_path()) is None
    ]
    return f"{absent[0]} is not installed" if absent else None


def _path() -> str:
    # Debian has the broker in /usr/sbin, which is not on the PATH of a user.
    return f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"


def _program(name: str) -> str:
    program = shutil.which(name, path=_path())
    assert program is not None
    return program


class Broker:
    """A Mosquitto broker with TLS, passwords and access rules."""

    def __init__(
        self, directory: Path, configuration: str, rules: str, users: Sequence[str]
    ) -> None:
        """Prepare the broker, which ``start()`` starts.

        :param configuration: the lines of ``mosquitto.conf`` for Debian, with the port 8883
        :param rules: the lines of the file ``acl``; PROBE gets all rights in addition
        """
        self._stack = ExitStack()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])

        certificates = directory / "certs"
        certificates.mkdir()
        certificate = certificates / "broker.pem"
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        files = ["-keyout", str(certificates / "broker.key"), "-out", str(certificate)]
        _run("openssl", "req", "-x509", *curve, "-nodes", "-days", "2", *subject, *files)
        self.environment = {"SSL_CERT_FILE": str(certificate)}

        passwords = directory / "passwords"
        passwords.write_text("".join(f"{user}:{PASSWORD}\n" for user in [*users, PROBE]))
        passwords.chmod(0o600)
        _run("mosquitto_passwd", "-U", str(passwords))

        (directory / "acl").write_text(f"{rules}\nuser {PROBE}\ntopic readwrite #\n")
        configuration = configuration.replace("8883", f"{self.port} 127.0.0.1")
        configuration = configuration.replace("/etc/mosquitto", str(directory))
        # As root, the broker would become a user who may not read the files.
        self._file = directory / "mosquitto.conf"
        self._file.write_text(f"{configuration}\nuser root\n")

    def start(self) -> None:
        """Start the broker, and return when it answers."""
        self._process = subprocess.Popen(
            [_program("mosquitto"), "-c", str(self._file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(self._process.wait)
        self._stack.callback(self._process.kill)
        mark = self.client("mosquitto_pub", PROBE, "-r", "-t", _END, "-m", "end")

        def answers() -> bool:
            assert self._process.poll() is None, "the broker has ended"
            return self.run(mark).returncode == 0

        wait_until(answers, "the broker answers")

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run the command line of a client to its end."""
        return subprocess.run(
            command,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=limit(),
            check=False,
        )

    def stop(self) -> None:
        """Stop the broker as a service manager does."""
        self._process.terminate()
        self._process.wait(limit())

    def client(self, program: str, user: str, *arguments: str) -> list[str]:
        """Return a command line of ``mosquitto_pub`` or ``mosquitto_sub``."""
        options = ["-h", "localhost", "-p", str(self.port), "--tls-use-os-certs"]
        return [_program(program), *options, "-u", user, "-P", PASSWORD, *arguments]

    def publish(self, host: str, payload: str, *options: str) -> None:
        """Publish the port of a host by ``mosquitto_pub``."""
        message = ["-q", "1", "-r", "-t", f"teredo/{host}/port", "-m", payload]
        done = self.run(self.client("mosquitto_pub", host, *message, *options))
        assert done.returncode == 0, done.stderr

    def publish_many(self, topics: Sequence[str]) -> None:
        """Publish a retained message for each topic."""
        from paho.mqtt.publish import multiple

        multiple(
            [(topic, "1", 1, True) for topic in topics],
            hostname="localhost",
            port=self.port,
            auth={"username": PROBE, "password": PASSWORD},
            tls={"ca_certs": self.environment["SSL_CERT_FILE"]},
        )

    def ports(self) -> dict[str, str]:
        """Return the message with the port of each host."""
        return self.messages("port")

    def messages(self, name: str) -> dict[str, str]:
        """Return the messages that a monitor receives when it subscribes, for each host.

        :param name: the last part of the topics
        """
        topics = ["-t", f"teredo/+/{name}", "-t", _END, "-F", "%r %t %p"]
        messages: dict[str, str] = {}
        with Subscriber(self.client("mosquitto_sub", PROBE, *topics), self) as subscriber:
            while True:
                retained, topic, payload = subscriber.receive().split(" ", 2)
                assert retained == "1"
                if topic == _END:
                    return messages
                messages[topic.split("/")[1]] = payload

    def wait_for_ports(self, **ports: str) -> None:
        """Wait until these hosts and no others have a message with their port."""
        self.wait_for_messages("port", ports)

    def wait_for_messages(self, name: str, messages: dict[str, str]) -> None:
        """Wait until a monitor that subscribes receives these messages and no other.

        :param name: the last part of the topics
        """
        seen: list[dict[str, str]] = []

        def are_there() -> bool:
            seen[:] = [self.messages(name)]
            return seen == [messages]

        try:
            wait_until(are_there, f"the messages are {messages}")
        except TimeoutError as error:
            error.add_note(f"they are {seen}")
            raise

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class Subscriber:
    """A process of ``mosquitto_sub``, whose output a test reads."""

    def __init__(self, command: list[str], broker: Broker) -> None:
        self._process = subprocess.Popen(
            command,
            env=os.environ | broker.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._timer = kill_at_the_limit(self._process)

    def receive(self) -> str:
        """Return the next message, in the format that the command line asks for."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "mosquitto_sub has ended"
        return line.removesuffix("\n")

    def receive_until(self, last: str) -> list[str]:
        """Return the next messages, up to the message *last*."""
        messages = [self.receive()]
        while messages[-1] != last:
            messages.append(self.receive())
        return messages

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.communicate()


class Proxy:
    """A TCP proxy whose connections a test can lose, without the broker's notice."""

    def __init__(self, port: int) -> None:
        """Listen for connections, which the proxy passes on to *port*."""
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._may_accept = threading.Event()
        self._may_accept.set()
        self._may_answer: list[threading.Event] = []
        self._hosts: list[socket.socket] = []
        self._brokers: list[socket.socket] = []
        self._lost: list[socket.socket] = []
        start_thread(self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the end of the test
            while True:
                host, _ = self._listener.accept()
                self._may_accept.wait()
                broker = socket.create_connection(self._target)
                may_answer = threading.Event()
                may_answer.set()
                self._hosts.append(host)
                self._brokers.append(broker)
                self._may_answer.append(may_answer)
                start_thread(partial(self._copy, host, broker, lambda: None))
                start_thread(partial(self._copy, broker, host, may_answer.wait))

    def _copy(
        self, source: socket.socket, target: socket.socket, may_pass: Callable[[], object]
    ) -> None:
        with contextlib.suppress(OSError):  # the connection is lost
            while data := source.recv(4096):
                may_pass()
                target.sendall(data)

    def hold_answers(self) -> None:
        """Hold everything that the broker sends on the present connections."""
        for may_answer in self._may_answer:
            may_answer.clear()

    def lose_connections(self) -> None:
        """End the present connections for the hosts; the broker still has them.

        A host that connects again waits for ``accept_again()``.
        """
        self._may_accept.clear()
        self._lost, self._brokers = self._brokers, []
        for host in self._hosts:
            host.shutdown(socket.SHUT_RDWR)

    def accept_again(self) -> None:
        """Connect the hosts that wait."""
        self._may_accept.set()

    def end_lost_connections(self) -> None:
        """End the lost connections for the broker, as it does when no host has answered."""
        for broker in self._lost:
            with contextlib.suppress(OSError):  # The broker may have ended it already.
                broker.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for event in (self._may_accept, *self._may_answer):
            event.set()
        for connection in (self._listener, *self._hosts, *self._brokers, *self._lost):
            with contextlib.suppress(OSError):  # The other end may have gone.
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def _run(program: str, *arguments: str) -> None:
    subprocess.run(
        [_program(program), *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=limit(),
    )
