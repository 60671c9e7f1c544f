"""The systemd unit of docs/recipes/systemd.md, as ``systemd-analyze`` sees it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.requirements import require
from ..support.waiting import limit
from .unit import UNIT


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
    file.write_text(UNIT)
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
