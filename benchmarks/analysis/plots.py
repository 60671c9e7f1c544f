"""The files of the charts: each in a light and a dark form."""

from __future__ import annotations

from pathlib import Path

from ..apparatus.results import Results
from .charts import draw_charts
from .svg import THEMES, draw


def draw_plots(results: Results, directory: Path) -> list[Path]:
    """Write a picture of each measure that has one into *directory*.

    :raises OSError: if it cannot be written
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, chart in draw_charts(results).items():
        for kind, theme in THEMES.items():
            path = directory / f"{name}-{kind}.svg"
            path.write_text(draw(chart, theme), "utf-8")
            paths.append(path)
    return paths
