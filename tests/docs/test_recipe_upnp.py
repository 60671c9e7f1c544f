"""The recipes of docs/recipes/upnp.md, with a recorder in place of ``upnpc``."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from ..support.command import environment
from ..support.documents import block
from ..support.waiting import limit
from .recorder import (
    SOURCE,
    command_of_service,
    recorded_calls,
    recorder,
    run_recipe,
    words_of,
)

PAGE: Final = "docs/recipes/upnp.md"
RECIPE_OF_WINDOWS: Final = block(PAGE, "bat", "aioteredo exec")

posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script needs POSIX")
windows = pytest.mark.skipif(sys.platform != "win32", reason="a batch file needs Windows")


def assert_one_mapping_at_a_time(calls: list[list[str]]) -> None:
    """Replay the calls of two processes with two ports each, as a router would."""
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
    assert len(mapped) == 1


def test_short_form_maps_each_port(tmp_path: Path) -> None:
    """The first recipe of the page calls ``upnpc`` with each port."""
    file = tmp_path / "calls"
    run_recipe(block(PAGE, "sh", "--every 3600"), "upnpc", *recorder(file), count=3)
    calls = recorded_calls(file)

    ports = {port for option, port, protocol in calls}
    assert calls == [["-r", port, "udp"] for _, port, _ in calls]
    assert len(ports) == 3


def write_script(directory: Path, file: Path) -> Path:
    """Write the script of the page, with a recorder that writes to *file*."""
    script = directory / "map-port"
    upnpc = shlex.join(recorder(file))
    script.write_text(block(PAGE, "sh", "#!/bin/sh").replace("upnpc", upnpc))
    script.chmod(0o755)
    return script


@posix
def test_script_keeps_one_mapping(tmp_path: Path) -> None:
    """The script deletes the previous mapping, even one of an earlier process."""
    file = tmp_path / "calls"
    script = write_script(tmp_path, file)
    recipe = block(PAGE, "sh", "--backend miredo --no-port 0")

    for _ in range(2):
        run_recipe(recipe, "/opt/teredo/map-port", str(script), count=2)
    assert_one_mapping_at_a_time(recorded_calls(file))


@posix
def test_script_without_a_port_only_deletes(tmp_path: Path) -> None:
    """For a client without a port, no mapping is added."""
    file = tmp_path / "calls"
    script = write_script(tmp_path, file)
    for port in ("51234", "0", "0"):
        subprocess.run(
            [script],
            env=environment(TEREDO_PORT=port),
            timeout=limit(),
            check=True,
        )
    assert recorded_calls(file) == [["-r", "51234", "udp"], ["-d", "51234", "udp"]]


@windows
def test_batch_file_keeps_one_mapping(tmp_path: Path) -> None:
    """The batch file deletes the previous mapping, even one of an earlier process."""
    file = tmp_path / "calls"
    program = tmp_path / "record.py"
    program.write_text(SOURCE)
    batch = tmp_path / "map.cmd"
    upnpc = f'"{sys.executable}" "{program}" "{file}"'
    batch.write_text(block(PAGE, "bat", "upnpc -d").replace("upnpc", upnpc))

    for _ in range(2):
        run_recipe(RECIPE_OF_WINDOWS, r"C:\teredo\map.cmd", str(batch), count=2)
    assert_one_mapping_at_a_time(recorded_calls(file))


def test_service_runs_the_command_of_the_recipe() -> None:
    """The wrapper gets the same command, with the whole path of ``aioteredo``."""
    service = block(PAGE, "bat", "shawl add").splitlines()[0]
    assert command_of_service(service) == words_of(RECIPE_OF_WINDOWS)
