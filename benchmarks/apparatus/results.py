"""A run's results as JSON: raw, so that whatever is asked later can still be answered.

What has a tail is kept as one HdrHistogram a round, in its usual base64 form (three
digits, ns); all else as the numbers themselves.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from hdrh.histogram import HdrHistogram

from .measure import Measure, Metric, Row, Setup

FORMAT: Final = 1
PACKAGES: Final = (
    "aioteredo",
    "aiologic",
    "anyio",
    "culsans",
    "janus",
    "trio",
    "uvloop",
)
ENVIRONMENT_KEYS: Final = (
    "command",
    "seed",
    "revision",
    "time",
    "python",
    "system",
    "processor",
    "switch interval",
    *PACKAGES,
)
_LOWEST, _HIGHEST, _DIGITS = 1, 3_600_000_000_000, 3


@dataclass
class Results:
    """One run: where and how it was made, and what was measured."""

    environment: dict[str, str]
    rows: list[Row]

    def find(self, measure: str, metric: str, *setup: str) -> Row | None:
        """The row of that setup, given as loop, case and contender, if it was measured."""
        for row in self.rows:
            if (row.measure, row.metric, *row.setup) == (measure, metric, *setup):
                return row
        return None


def describe_environment(command: str, seed: int) -> dict[str, str]:
    """The machine and the versions, and what the order of the setups was drawn from."""
    return {
        "command": command,
        "seed": str(seed),
        "revision": _revision(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
        "processor": f"{os.cpu_count()} of {_processor()}",
        "switch interval": f"{sys.getswitchinterval()} s",
        **{name: _version(name) for name in PACKAGES},
    }


def _revision() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    found = subprocess.run(  # noqa: S603 - nothing of it is anybody's input
        [git, "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def save(results: Results, path: Path, measures: Sequence[Measure]) -> None:
    """Write *results* to *path*, or leave what is there.

    :raises OSError: if it cannot be written
    """
    metrics = {m.name: m.metrics for m in measures}
    rows = [
        {
            "measure": row.measure,
            **row.setup._asdict(),
            "metric": row.metric,
            "size": row.size,
            **_encode(row.rounds, metrics[row.measure][row.metric]),
        }
        for row in results.rows
        if row.measure in metrics  # an older run may have measures that are gone
    ]
    document = {"format": FORMAT, "about": results.environment, "rows": rows}
    whole = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        whole.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)


def load(path: Path) -> Results:
    """Read what :func:`save` wrote.

    :raises OSError: if it cannot be read
    :raises ValueError: if it is something else
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{path} is no result of these benchmarks in format {FORMAT}")
    try:
        said = {key: str(document["about"].get(key, "unknown")) for key in ENVIRONMENT_KEYS}
        return Results(said, [_row(item) for item in document["rows"]])
    except Exception as error:  # whatever a decoder makes of damage
        raise ValueError(f"{path} is damaged: {error!r}") from error


def _row(item: dict[str, Any]) -> Row:
    setup = Setup(item["loop"], item["case"], item["contender"])
    if "histograms" in item:
        rounds: list[Sequence[float]] = [_decode(text) for text in item["histograms"]]
    else:
        rounds = [[*map(float, samples)] for samples in item["rounds"]]
    if not rounds or not all(rounds):
        raise ValueError(f"a round of {item['measure']} is empty")
    return Row(item["measure"], setup, item["metric"], item["size"], rounds)


def _encode(rounds: list[Sequence[float]], metric: Metric) -> dict[str, Any]:
    if not metric.distribution:
        return {"unit": metric.unit, "rounds": rounds}
    texts = []
    for samples in rounds:
        histogram = HdrHistogram(_LOWEST, _HIGHEST, _DIGITS)
        for sample in samples:
            histogram.record_value(max(_LOWEST, int(sample)))
        texts.append(histogram.encode().decode())
    return {"unit": metric.unit, "histograms": texts}


def _decode(text: str) -> list[float]:
    histogram = HdrHistogram.decode(text)
    counts = np.asarray(histogram.counts)  # its own iterators take 40 ms, this 0.3
    return [
        float(
            histogram.get_highest_equivalent_value(
                histogram.get_value_from_index(int(index))
            )
        )
        for index in np.flatnonzero(counts)
        for _ in range(counts[index])
    ]
