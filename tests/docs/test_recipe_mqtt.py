"""The recipe for MQTT, run as it is printed, with a real Mosquitto broker.

The broker has the configuration and the rules of the page: TLS, passwords, and topics that
only their host may write.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..support.documents import block
from ..support.fleet import Fleet, broker_in, monitor
from ..support.mosquitto import Broker, Proxy
from ..support.running import RunningCommand
from ..support.waiting import wait_until

if sys.platform == "win32":
    pytest.skip("the shell of POSIX is needed", allow_module_level=True)

PAGE = "docs/recipes/mqtt.md"
STATE = "publish_state.py"
FIRST = "2001:0:c633:6401:0:1e08:34ff:8ef8"
SECOND = "2001:0:c633:6401:0:1e09:34ff:8ef8"
ExecRecipe = Callable[..., RunningCommand]
CLIENT_IDS_BY_USER = "use_username_as_clientid true\n"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker that runs, with the configuration of the page."""
    with broker_in(tmp_path) as broker:
        yield broker


@pytest.fixture
def fleet(tmp_path: Path, broker: Broker) -> Iterator[Fleet]:
    """A fleet without hosts, which the test starts."""
    with Fleet(tmp_path, broker) as fleet:
        yield fleet


# the program


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_monitor_that_subscribes_late_receives_the_port_of_each_host(
    fleet: Fleet, broker: Broker, loop: str
) -> None:
    """Each host has one retained message; ``null`` stands for no port."""
    first = fleet.start("gate7", loop=loop)
    fleet.start("gate8", loop=loop)
    broker.wait_for_ports(gate7="null", gate8="null")

    first.change(51234)
    broker.wait_for_ports(gate7="51234", gate8="null")

    first.change(None)
    broker.wait_for_ports(gate7="null", gate8="null")


def test_monitor_of_the_page_receives_each_change(fleet: Fleet, broker: Broker) -> None:
    """A connected monitor receives a change at once, without subscribing again."""
    with monitor(broker) as subscriber:
        host = fleet.start("gate7")
        subscriber.receive_until("teredo/gate7/port null")
        for port in (1, 2):
            host.change(port)
            assert subscriber.receive() == f"teredo/gate7/port {port}"


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_end_of_the_program_deletes_the_port(
    fleet: Fleet, broker: Broker, loop: str, number: signal.Signals
) -> None:
    """The port goes with the program, however this ends; other hosts keep theirs."""
    fleet.start("gate8").change(8)
    host = fleet.start("gate7", loop=loop)
    host.change(7)
    broker.wait_for_ports(gate7="7", gate8="8")

    host.process.send_signal(number)
    broker.wait_for_ports(gate8="8")
    status, error = host.wait()
    assert status == (0 if number == signal.SIGINT else -number)
    assert "Traceback" not in error


@pytest.mark.parametrize("stored", [False, True])
def test_broker_that_restarts_has_the_newest_port_again(
    tmp_path: Path, stored: bool
) -> None:
    """Each host publishes the port that it has when it connects again."""
    more = f"persistence true\npersistence_location {tmp_path}/\n" if stored else ""
    with broker_in(tmp_path, more=more) as broker, Fleet(tmp_path, broker) as fleet:
        host = fleet.start("gate7")
        host.change(1)
        fleet.start("gate8").change(8)
        broker.wait_for_ports(gate7="1", gate8="8")

        broker.stop()
        host.change(2)
        host.change(3)
        broker.start()
        broker.wait_for_ports(gate7="3", gate8="8")


def test_unacknowledged_port_does_not_follow_a_newer_one(
    fleet: Fleet, broker: Broker
) -> None:
    """After a new connection, the host publishes the newest port and no older one."""
    with Proxy(broker.port) as proxy, monitor(broker) as subscriber:
        host = fleet.start("gate7", port=proxy.port)
        subscriber.receive_until("teredo/gate7/port null")

        proxy.hold_answers()
        host.change(1)
        subscriber.receive_until("teredo/gate7/port 1")
        proxy.lose_connections()
        host.change(2)
        proxy.accept_again()

        deleted_by_the_will = subscriber.receive()
        assert deleted_by_the_will == "teredo/gate7/port (null)"
        assert subscriber.receive() == "teredo/gate7/port 2"
        host.change(3)
        assert subscriber.receive() == "teredo/gate7/port 3"


def test_will_of_a_lost_connection_does_not_delete_the_port(tmp_path: Path) -> None:
    """A host connects again before the broker has noticed that the connection is lost."""
    with ExitStack() as stack:
        # With this setting of the page, the broker would choose the client identifier.
        broker = stack.enter_context(broker_in(tmp_path, without=CLIENT_IDS_BY_USER))
        fleet = stack.enter_context(Fleet(tmp_path, broker))
        proxy = stack.enter_context(Proxy(broker.port))
        host = fleet.start("gate7", port=proxy.port)
        host.change(1)
        broker.wait_for_ports(gate7="1")

        proxy.lose_connections()
        host.change(2)
        proxy.accept_again()
        broker.wait_for_ports(gate7="2")

        subscriber = stack.enter_context(monitor(broker))
        assert subscriber.receive() == "teredo/gate7/port 2"
        proxy.end_lost_connections()
        broker.publish("gate8", "8")
        assert subscriber.receive() == "teredo/gate8/port 8"


def test_failure_of_the_backend_deletes_the_port_until_it_is_known_again(
    fleet: Fleet, broker: Broker
) -> None:
    """A port that cannot be followed is not published; the program tries again."""
    with monitor(broker) as subscriber:
        host = fleet.start("gate7")
        host.change(1)
        subscriber.receive_until("teredo/gate7/port 1")
        host.fail(31)
        assert subscriber.receive() == "teredo/gate7/port (null)"
        assert subscriber.receive() == "teredo/gate7/port 1"


def test_host_with_a_wrong_password_says_so(fleet: Fleet, broker: Broker) -> None:
    """The program reports each refusal, publishes nothing, and can still be ended."""
    host = fleet.start("gate7", MQTT_PASSWORD="wrong")
    assert host.read_error_line() == "INFO:root:localhost: Not authorized\n"
    assert broker.ports() == {}
    host.process.send_signal(signal.SIGINT)
    status, error = host.wait()
    assert status == 0
    assert "Traceback" not in error


def test_host_trusts_no_broker_with_an_unknown_certificate(fleet: Fleet) -> None:
    """The program does not connect, says so, and can still be ended."""
    host = fleet.start("gate7", SSL_CERT_FILE=os.devnull)
    assert host.read_error_line() == "WARNING:root:no connection to the broker\n"
    host.process.send_signal(signal.SIGINT)
    assert host.wait()[0] == 0


# the program for the port and the addresses


def state(port: int | None, *addresses: str) -> str:
    """Return the message of a host."""
    return json.dumps({"addresses": addresses, "port": port})


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_state_of_a_host_has_its_port_and_addresses(
    fleet: Fleet, broker: Broker, loop: str
) -> None:
    """Each message has both values; ``null`` and an empty list stand for none."""
    with monitor(broker, "state") as subscriber:
        host = fleet.start("gate7", loop=loop, program=STATE)
        started = subscriber.receive_until(f"teredo/gate7/state {state(None)}")
        assert set(started[:-1]) <= {"teredo/gate7/state (null)"}

        host.change(51234)
        assert subscriber.receive() == f"teredo/gate7/state {state(51234)}"
        host.set_addresses(FIRST, SECOND)
        both = state(51234, FIRST, SECOND)
        assert subscriber.receive() == f"teredo/gate7/state {both}"
        host.set_addresses()
        assert subscriber.receive() == f"teredo/gate7/state {state(51234)}"


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_end_of_the_program_deletes_the_state(
    fleet: Fleet, broker: Broker, loop: str, number: signal.Signals
) -> None:
    """The port and the addresses go together, however the program ends."""
    fleet.start("gate8").change(8)
    host = fleet.start("gate7", loop=loop, program=STATE)
    host.set_addresses(FIRST)
    broker.wait_for_messages("state", {"gate7": state(None, FIRST)})

    host.process.send_signal(number)
    broker.wait_for_messages("state", {})
    broker.wait_for_ports(gate8="8")
    status, error = host.wait()
    assert status == (0 if number == signal.SIGINT else -number)
    assert "Traceback" not in error


def test_broker_that_restarts_has_the_newest_state_again(
    fleet: Fleet, broker: Broker
) -> None:
    """A host publishes both values when it connects again."""
    host = fleet.start("gate7", program=STATE)
    host.set_addresses(FIRST)
    broker.wait_for_messages("state", {"gate7": state(None, FIRST)})

    broker.stop()
    host.change(1)
    host.set_addresses(SECOND)
    broker.start()
    broker.wait_for_messages("state", {"gate7": state(1, SECOND)})


def test_failure_of_one_watch_deletes_the_state_until_both_values_are_known(
    fleet: Fleet, broker: Broker
) -> None:
    """A new port is not published with addresses that the program does not follow."""
    with monitor(broker, "state") as subscriber:
        host = fleet.start("gate7", program=STATE)
        host.set_addresses(FIRST)
        subscriber.receive_until(f"teredo/gate7/state {state(None, FIRST)}")

        host.fail_addresses(31)
        assert subscriber.receive() == "teredo/gate7/state (null)"
        host.set_addresses(SECOND)
        host.change(2)
        later = subscriber.receive_until(f"teredo/gate7/state {state(2, SECOND)}")
        assert f"teredo/gate7/state {state(2, FIRST)}" not in later


def test_failure_of_the_backend_deletes_the_state_until_it_is_known_again(
    fleet: Fleet, broker: Broker
) -> None:
    """Both watches fail, and both start again."""
    with monitor(broker, "state") as subscriber:
        host = fleet.start("gate7", program=STATE)
        host.set_addresses(FIRST)
        subscriber.receive_until(f"teredo/gate7/state {state(None, FIRST)}")
        host.fail(31)
        again = subscriber.receive_until(f"teredo/gate7/state {state(None, FIRST)}")
        assert set(again[:-1]) == {"teredo/gate7/state (null)"}


@pytest.mark.parametrize(
    ("payload", "output"),
    [
        (b"", ""),
        (state(None), ""),
        (state(51234, FIRST), f"{FIRST} is 203.0.113.7 port 57847\n"),
    ],
)
def test_reader_decodes_the_addresses(
    payload: str | bytes, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reader of the page prints the address and port that the NAT has given."""
    exec(block(PAGE, "python", "state = json.loads"), {"payload": payload})
    assert capsys.readouterr().out == output


# the broker


@pytest.mark.parametrize("name", ["port", "state"])
def test_host_cannot_write_a_topic_of_another_host(broker: Broker, name: str) -> None:
    """The broker refuses the topic, and accepts it from its own host."""
    topic = ["-V", "mqttv5", "-q", "1", "-r", "-t", f"teredo/gate8/{name}"]
    done = broker.run(broker.client("mosquitto_pub", "gate7", *topic, "-m", "666"))
    assert "Not authorized" in done.stderr
    assert broker.messages(name) == {}

    broker.run(broker.client("mosquitto_pub", "gate8", *topic, "-m", "8"))
    assert broker.messages(name) == {"gate8": "8"}


def test_host_cannot_end_the_connection_of_another_host(
    fleet: Fleet, broker: Broker
) -> None:
    """A client that names the identifier of another host gets its own instead."""
    with monitor(broker) as subscriber:
        fleet.start("gate8")
        subscriber.receive_until("teredo/gate8/port null")
        broker.publish("gate7", "7", "-i", "gate8")
        assert subscriber.receive() == "teredo/gate7/port 7"


def test_broker_drops_no_message_for_a_monitor_of_a_large_fleet(broker: Broker) -> None:
    """By default, Mosquitto drops all but 1,020 messages for a client with QoS 1."""
    hosts = 1100
    broker.publish_many([f"teredo/host{number}/port" for number in range(hosts)])
    arguments = ["-q", "1", "-t", "teredo/+/port", "-C", str(hosts)]
    done = broker.run(broker.client("mosquitto_sub", "monitor", *arguments))
    assert len(done.stdout.splitlines()) == hosts


# exec


@pytest.fixture
def exec_recipe(running: RunningCommand, broker: Broker, tmp_path: Path) -> ExecRecipe:
    """A function that starts the command line of the page, with another expiry."""
    options = block(PAGE, "text", "-u gate7")
    for text, value in (("broker.example", "localhost"), ("8883", str(broker.port))):
        assert text in options
        options = options.replace(text, value)
    (tmp_path / "mosquitto_pub").write_text(options)
    environment = broker.environment | {"XDG_CONFIG_HOME": str(tmp_path)}

    def start(expiry: str = "180") -> RunningCommand:
        words = shlex.split(block(PAGE, "sh", "exec --initial --every"))
        assert words[:2] == ["aioteredo", "exec"]
        words[words.index("180")] = expiry
        return running.start(*words[1:], env=environment)

    return start


def test_exec_publishes_each_port(exec_recipe: ExecRecipe, broker: Broker) -> None:
    """Each change runs ``mosquitto_pub``, which publishes a retained message."""
    running = exec_recipe()
    broker.wait_for_ports(gate7="null")
    running.change(51234)
    broker.wait_for_ports(gate7="51234")


def test_port_that_exec_has_published_expires(
    exec_recipe: ExecRecipe, broker: Broker
) -> None:
    """A message that ``exec`` has not published again in time is deleted."""
    exec_recipe("2")
    broker.wait_for_ports(gate7="null")
    broker.wait_for_ports()


def test_prometheus_reads_a_whole_file(running: RunningCommand, tmp_path: Path) -> None:
    """The file has one metric, and is replaced in one step."""
    file = tmp_path / "teredo.prom"
    words = shlex.split(block(PAGE, "sh", ".prom"))
    assert words[:2] == ["aioteredo", "exec"]
    assert words[-1].endswith(f"/{file.name}")
    running.start(*words[1:-1], str(file))

    wait_until(file.exists, "the file is there")
    assert file.read_text() == "teredo_port 0\n"
    with file.open() as before:
        running.change(51234)
        wait_until(lambda: file.read_text() == "teredo_port 51234\n", "the port is there")
        assert before.read() == "teredo_port 0\n"
