"""The results of a run, and their file, which keeps all samples for later questions.

The file is JSON. The samples of a metric that has a tail are one HdrHistogram for each
round, in its usual base64 form. All others are plain numbers.
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
PACKAGES: Final = ("aioteredo", "aiologic", "anyio", "culsans", "janus", "trio", "uvloop")
ENVIRONMENT_KEYS: Final = (
    *("command", "seed", "revision", "time", "python", "system", "processor"),
    *("switch interval", *PACKAGES),
)

_SHORTEST: Final = 1  # ns
_LONGEST: Final = 3_600_000_000_000
_DIGITS: Final = 3


@dataclass
class Results:
    """One run: the samples, the machine and the versions."""

    environment: dict[str, str]
    rows: list[Row]

    def find(self, measure: str, metric: str, *setup: str) -> Row | None:
        """Return the row of a setup, given as loop, case and contender, or None."""
        for row in self.rows:
            if (row.measure, row.metric, *row.setup) == (measure, metric, *setup):
                return row
        return None


def describe_environment(command: str, seed: int) -> dict[str, str]:
    """Return the machine, the versions, and the seed of the order of the setups."""
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
    described = subprocess.run(  # noqa: S603 - no part is a user's input
        [git, "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


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
    """Write *results* to *path*. If that fails, the file that was there stays.

    :raises OSError: if it cannot be written
    """
    metrics = {measure.name: measure.metrics for measure in measures}
    rows = [
        {
            "measure": row.measure,
            **row.setup._asdict(),
            "metric": row.metric,
            "size": row.size,
            **_encode(row.rounds, metrics[row.measure][row.metric]),
        }
        for row in results.rows
        if row.measure in metrics  # A loaded run may have measures that no longer exist.
    ]
    document = {"format": FORMAT, "about": results.environment, "rows": rows}

    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        new.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def load(path: Path) -> Results:
    """Read the results that :func:`save` wrote.

    :raises OSError: if the file cannot be read
    :raises ValueError: if the file is damaged, or has another format
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{path} is not a run of these benchmarks in format {FORMAT}")
    try:
        saved = document["about"]
        environment = {key: str(saved.get(key, "unknown")) for key in ENVIRONMENT_KEYS}
        return Results(environment, [_row(item) for item in document["rows"]])
    except Exception as error:  # A damaged histogram can raise any exception.
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
    if not metric.has_tail:
        return {"unit": metric.unit, "rounds": rounds}
    texts = []
    for samples in rounds:
        histogram = HdrHistogram(_SHORTEST, _LONGEST, _DIGITS)
        for sample in samples:
            histogram.record_value(max(_SHORTEST, int(sample)))
        texts.append(histogram.encode().decode())
    return {"unit": metric.unit, "histograms": texts}


def _decode(text: str) -> list[float]:
    histogram = HdrHistogram.decode(text)
    counts = np.asarray(histogram.counts)  # The histogram's own iterators are far slower.
    samples: list[float] = []
    for index in np.flatnonzero(counts):
        value = histogram.get_value_from_index(int(index))
        highest = float(histogram.get_highest_equivalent_value(value))
        samples += [highest] * int(counts[index])
    return samples
