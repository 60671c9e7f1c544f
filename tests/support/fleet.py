"""The hosts, the broker and the monitor of docs/recipes/mqtt.md, as the page has them."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from . import mosquitto
from .documents import block
from .mosquitto import Broker, Subscriber
from .requirements import require
from .running import RunningCommand, scripted_command

PAGE: Final = "docs/recipes/mqtt.md"
USERS: Final = ("gate7", "gate8", "monitor")

# Runs a program of the page on an event loop that the test chooses.
RUN_ON_LOOP: Final = """
import functools, runpy, sys, anyio
anyio.run = functools.partial(anyio.run, backend=sys.argv[1])
runpy.run_path(sys.argv[2], run_name="__main__")
"""


def broker_in(directory: Path, *, without: str = "", more: str = "") -> Broker:
    """Return a broker with the configuration of the page.

    :param without: a line of the configuration to leave out
    :param more: lines to add
    """
    require("mosquitto", mosquitto.missing())
    configuration = block(PAGE, "text", "listener 8883")
    assert without in configuration
    rules = block(PAGE, "text", "pattern write")
    return Broker(directory, configuration.replace(without, "") + more, rules, USERS)


class Fleet:
    """The hosts of a test, each of which runs a program of the page."""

    def __init__(self, directory: Path, broker: Broker) -> None:
        self._directory = directory
        self._broker = broker
        self._stack = ExitStack()

    def start(
        self,
        host: str,
        *,
        loop: str = "asyncio",
        program: str = "publish_port.py",
        port: int = 0,
        **variables: str,
    ) -> RunningCommand:
        """Start a program of the page on a host, whose client has no port yet.

        :param port: the port at which the host finds the broker, if it is not the broker's
        :param variables: environment variables that are not those of the page
        """
        directory = self._directory / host
        directory.mkdir()
        texts = {
            "publish_port.py": block(PAGE, "python", "class RetainedMessage"),
            "publish_state.py": block(PAGE, "python", "from publish_port import"),
        }
        for name, text in texts.items():
            (directory / name).write_text(text, "utf-8")
        running = self._stack.enter_context(scripted_command(directory))
        environment = {"AIOTEREDO_BACKEND": "scripted"} | self._broker.environment
        for word in shlex.split(block(PAGE, "sh", "publish_port.py"))[:2]:
            name, _, value = word.partition("=")
            environment[name] = value
        environment["MQTT_URL"] = (
            environment["MQTT_URL"]
            .replace("gate7", host)
            .replace("broker.example", f"localhost:{port or self._broker.port}")
        )
        return running.start_program(
            *(sys.executable, "-c", RUN_ON_LOOP, loop, str(directory / program)),
            env=environment | variables,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def monitor(broker: Broker, name: str = "port") -> Subscriber:
    """Start the command of the page for a monitor, which prints topics and messages.

    :param name: the last part of the topics that the monitor subscribes to
    """
    words = shlex.split(block(PAGE, "sh", "mosquitto_sub"))
    for placeholder, value in (("broker.example", "localhost"), ("8883", str(broker.port))):
        words[words.index(placeholder)] = value
    words[words.index("teredo/+/port")] = f"teredo/+/{name}"
    return Subscriber(words, broker)
