"""The recipe of docs/recipes/windows-firewall.md, with a recorder in place of ``netsh``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aioteredo import TEREDO_MULTICAST_ADDRESS, TEREDO_MULTICAST_PORT

from ..support.documents import block
from .recorder import (
    command_of_service,
    recorded_calls,
    recorder,
    run_recipe,
    words_of,
)

PAGE: Final = "docs/recipes/windows-firewall.md"
RECIPE: Final = block(PAGE, "bat", "aioteredo exec")


def test_firewall_program_receives_each_port(tmp_path: Path) -> None:
    """The recipe calls the firewall's program with the rule and the port."""
    file = tmp_path / "calls"
    run_recipe(RECIPE, "netsh", *recorder(file), count=3)
    calls = recorded_calls(file)

    rule = "advfirewall firewall set rule name=Teredo dir=in new protocol=udp"
    ports = [int(call[-1].removeprefix("localport=")) for call in calls]
    for call, port in zip(calls, ports, strict=True):
        assert call == [*rule.split(), f"localport={port}"]
    assert len({*ports}) == 3


def test_rules_that_are_added_once_have_the_names_and_the_static_address() -> None:
    """The first rule is the one that the recipe changes; the second one is Teredo's."""
    first, second = block(PAGE, "bat", "add rule").splitlines()
    assert "name=Teredo" in words_of(first)
    assert "name=Teredo" in words_of(RECIPE)
    assert f"localip={TEREDO_MULTICAST_ADDRESS}" in words_of(second)
    assert f"localport={TEREDO_MULTICAST_PORT}" in words_of(second)


def test_service_runs_the_command_of_the_recipe() -> None:
    """The wrapper gets the same command, with the whole path of ``aioteredo``."""
    service = block(PAGE, "bat", "shawl add").splitlines()[0]
    assert command_of_service(service) == words_of(RECIPE)
