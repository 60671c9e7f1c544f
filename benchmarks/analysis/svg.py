"""Bar charts as SVG: each bar has its name and its figure beside it, so there is no legend.

charts.py decides what a chart shows. The text stays text, so that it can be found, copied
and read aloud.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

WIDTH: Final = 880  # px, about the width of a page on GitHub and in the documentation
MARGIN: Final = 20
NAMES: Final = 218  # px for the names of the rows
LINE: Final = 108  # characters of the subtitle
ROW: Final = 24
TITLE: Final = 26
AXIS: Final = 36
GAP: Final = 22  # px between two columns of panels
FONT: Final = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"


class Theme(NamedTuple):
    """Colours that also people who cannot tell red from green can tell apart.

    The background is painted: some pages are white even for a reader who prefers dark ones.
    """

    background: str
    text: str
    faint: str
    grid: str
    bar: str
    own: str


THEMES: Final = {
    "light": Theme("#ffffff", "#1f2328", "#59636e", "#d8dee4", "#6f9fc8", "#d55e00"),
    "dark": Theme("#0d1117", "#f0f6fc", "#9aa5b1", "#30363d", "#4a7ba6", "#f0a03c"),
}


class Bar(NamedTuple):
    """A figure with its interval.

    :param label: the figure in words, written beside the bar
    :param inner: a second figure, drawn as a darker part of the bar
    """

    value: float
    low: float
    high: float
    label: str
    inner: float | None = None


class Panel(NamedTuple):
    """The bars of one event loop, by the name of the row.

    :param absent: the reason why a row has no bar, by the name of the row
    """

    title: str
    bars: dict[str, Bar]
    absent: dict[str, str]


@dataclass
class Chart:
    """A grid of panels that share their rows and their axis.

    :param title: the result in one sentence
    :param description: the result for a reader who cannot see the picture
    :param limit: the end of the axis; a longer bar is drawn broken
    :param own: the row that is emphasized
    :param hollow: the rows whose bars are only outlined
    """

    title: str
    subtitle: str
    rows: list[str]
    grid: list[list[Panel]]
    axis: str
    limit: float
    notes: list[str]
    description: str
    own: str
    hollow: set[str] = field(default_factory=set)


class _Scale:
    """The horizontal axis of one panel, in px."""

    def __init__(self, chart: Chart, left: float, width: float) -> None:
        bars = [bar for line in chart.grid for panel in line for bar in panel.bars.values()]
        longest = max(len(bar.label) for bar in bars)
        lows = [bar.low if math.isfinite(bar.low) else bar.value for bar in bars]
        self.lowest = max(min([0.0, *lows]), -chart.limit / 3)
        self.limit = chart.limit
        self.left = left
        self.right = left + width - 12 - 7.2 * longest  # The label needs the rest.

    def __call__(self, value: float) -> float:
        part = (value - self.lowest) / (self.limit - self.lowest)
        return self.left + min(1.0, max(0.0, part)) * (self.right - self.left)

    def ticks(self) -> list[float]:
        """Return round numbers that are at least 45 px apart."""
        least = (self.limit - self.lowest) * 45 / (self.right - self.left)
        power = 10.0 ** math.floor(math.log10(least))
        step = next(n * power for n in (1, 2, 5, 10) if n * power >= least)
        first, last = math.ceil(self.lowest / step), math.floor(self.limit / step)
        return [n * step for n in range(first, last + 1)]


def draw(chart: Chart, theme: Theme) -> str:
    """Return the SVG file of *chart*."""
    parts: list[str] = []
    y = 34.0
    parts.append(_text(MARGIN, y, chart.title, "title"))
    for line in textwrap.wrap(chart.subtitle, LINE):
        y += 20
        parts.append(_text(MARGIN, y, line, "faint"))

    for panels in chart.grid:
        if any(panel.title for panel in panels):
            y += TITLE
        y += 10
        parts += _line_of_panels(chart, panels, y)
        y += ROW * len(chart.rows) + AXIS

    y += 22
    for note in chart.notes:
        parts.append(_text(MARGIN, y, note, "note"))
        y += 17

    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y:.0f}" '
        f'viewBox="0 0 {WIDTH} {y:.0f}" role="img" aria-labelledby="title desc">'
    )
    return "\n".join(
        [
            head,
            f'<title id="title">{escape(chart.title)}</title>',
            f'<desc id="desc">{escape(chart.description)}</desc>',
            f"<style>{_style(theme)}</style>",
            f'<rect class="background" width="{WIDTH}" height="{y:.0f}" rx="6"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _style(theme: Theme) -> str:
    return (
        f"text{{font:13px {FONT};fill:{theme.text}}}"
        ".title{font-size:19px;font-weight:600}"
        ".bold{font-weight:700}"
        f".faint{{fill:{theme.faint}}}"
        f".note{{font-size:12px;fill:{theme.faint}}}"
        ".right{text-anchor:end}"
        ".middle{text-anchor:middle}"
        f".background{{fill:{theme.background}}}"
        f".grid{{stroke:{theme.grid}}}"
        f".zero{{stroke:{theme.faint}}}"
        f".bar{{fill:{theme.bar}}}"
        f".own{{fill:{theme.own}}}"
        f".hollow{{fill:none;stroke:{theme.faint}}}"
        ".outer{opacity:.45}"
        f".break{{stroke:{theme.background};stroke-width:3}}"
        f".whisker{{stroke:{theme.text};stroke-width:1.3;fill:none}}"
    )


def _line_of_panels(chart: Chart, panels: list[Panel], top: float) -> Iterator[str]:
    first = MARGIN + NAMES
    width = (WIDTH - MARGIN - first - GAP * (len(panels) - 1)) / len(panels)
    for index, name in enumerate(chart.rows):
        bold = " bold" if name == chart.own else ""
        y = top + ROW * index + 16
        yield _text(first - 8, y, name, f"right{bold}")
    for column, panel in enumerate(panels):
        left = first + column * (width + GAP)
        yield from _panel(chart, panel, _Scale(chart, left, width), top)


def _panel(chart: Chart, panel: Panel, scale: _Scale, top: float) -> Iterator[str]:
    zero = scale(0)
    bottom = top + ROW * len(chart.rows)
    if panel.title:
        yield _text(zero, top - 8, panel.title, "bold")

    for tick in scale.ticks():
        x = scale(tick)
        kind = "zero" if tick == 0 else "grid"
        yield f'<path class="{kind}" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>'
        yield _text(x, bottom + 15, f"{tick:,g}", "note middle")
    yield _text(zero, bottom + 32, chart.axis, "note")

    for index, name in enumerate(chart.rows):
        y = top + ROW * index
        bar = panel.bars.get(name)
        if bar is None:
            yield _text(zero + 6, y + 16, panel.absent[name], "note")
        else:
            yield from _bar(chart, name, bar, scale, y)


def _bar(chart: Chart, name: str, bar: Bar, scale: _Scale, y: float) -> Iterator[str]:
    kind = "own" if name == chart.own else "hollow" if name in chart.hollow else "bar"
    outer = kind if bar.inner is None else f"{kind} outer"
    yield _rectangle(scale(0), scale(bar.value), y + 4, outer)
    if bar.inner is not None:
        yield _rectangle(scale(0), scale(bar.inner), y + 4, kind)

    middle = y + ROW / 2
    end = scale(max(0, bar.value))
    if bar.value > chart.limit:
        x = scale.right - 14
        yield f'<path class="break" d="M{x:.1f} {y + 21:.1f}l6 -18m4 0l-6 18"/>'
    elif math.isfinite(bar.low) and math.isfinite(bar.high):
        low, end = scale(bar.low), max(end, scale(bar.high))
        high = scale(bar.high)
        yield (
            f'<path class="whisker" d="M{low:.1f} {middle - 4:.1f}v8m0 -4H{high:.1f}'
            f'm0 -4v8"/>'
        )
    bold = "bold" if name == chart.own else ""
    yield _text(end + 7, y + 16, bar.label, bold)


def _rectangle(start: float, end: float, y: float, kind: str) -> str:
    left, right = sorted((start, end))
    width = max(right - left, 1)
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{ROW - 8}"/>'
    )


def _text(x: float, y: float, text: str, kind: str) -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text{attribute} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
