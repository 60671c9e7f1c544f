"""The pictures, and the documents that show the same figures."""

from __future__ import annotations

import random
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.__main__ import MEASURES
from benchmarks.analysis import charts, documents, plots
from benchmarks.analysis.svg import THEMES
from benchmarks.apparatus import results
from benchmarks.apparatus.measure import Measure, Row
from benchmarks.apparatus.results import Results
from benchmarks.measures.burst import Burst
from benchmarks.measures.fan_out import FanOut
from benchmarks.measures.latency import Latency

ROOT = Path(__file__).parents[2]
PLOTS = ROOT / documents.PLOTS
SVG = "{http://www.w3.org/2000/svg}"


def invented_run(samples: int, *kinds: type[Measure]) -> Results:
    """Return a run of all contenders in which no time was spent."""
    draw = random.Random(1).uniform
    rows = [
        Row(kind.name, setup, metric, 1, [[draw(8e4, 9e4) for _ in range(samples)]] * 4)
        for kind in kinds
        for setup in kind().setups()
        for metric in kind.metrics
    ]
    return Results(results.describe_environment("", 1), rows)


def texts(path: Path) -> list[str]:
    """Return the texts that the picture shows."""
    root = ElementTree.parse(path).getroot()
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_each_picture_has_a_light_and_a_dark_form(tmp_path: Path) -> None:
    """Both show the same text, have a title and a description, and load nothing else."""
    made = invented_run(300, Latency, Burst, FanOut)
    paths = plots.draw_plots(made, tmp_path)
    names = ("latency", "latency-loops", "latency-tail", "burst", "fan-out")
    assert [path.name for path in paths] == [
        f"{name}-{theme}.svg" for name in names for theme in THEMES
    ]
    for light, dark in zip(paths[::2], paths[1::2], strict=True):
        assert texts(light) == texts(dark)
        root = ElementTree.parse(light).getroot()
        assert [root[0].tag, root[1].tag] == [f"{SVG}title", f"{SVG}desc"]
        assert root[0].text
        assert "aioteredo" in (root[1].text or "")
        assert "href" not in light.read_text("utf-8")


def test_contender_that_does_not_run_on_a_loop_is_marked(tmp_path: Path) -> None:
    """Two contenders need asyncio. Each has two panels of trio, one for each source."""
    plots.draw_plots(invented_run(300, Latency), tmp_path)
    assert texts(tmp_path / "latency-loops-light.svg").count("not on trio") == 4


def test_high_percentile_of_few_events_is_neither_drawn_nor_in_a_table() -> None:
    """Ten samples must lie beyond the 99th percentile."""
    few, enough = invented_run(240, Latency), invented_run(260, Latency)
    assert "latency-tail" not in charts.draw_charts(few)
    assert "latency-tail" in charts.draw_charts(enough)


def test_long_bar_is_broken(tmp_path: Path) -> None:
    """Polling takes a thousand times as long, and leaves room for the others."""
    made = invented_run(20, Latency)
    for row in made.rows:
        if row.setup.contender == "polling every 50 ms":
            row.rounds[:] = [[4e7]] * 4
    chart = charts.draw_charts(made)["latency"]
    assert chart.limit < 100
    plots.draw_plots(made, tmp_path)
    assert (tmp_path / "latency-light.svg").read_text("utf-8").count("break") == 2


def copy_documents(target: Path) -> None:
    for name in (documents.README, documents.PAGE):
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")


def test_publishing_rewrites_only_the_blocks_of_the_run(tmp_path: Path) -> None:
    """The text between the blocks, and the blocks of other measures, stay."""
    copy_documents(tmp_path)
    page = tmp_path / documents.PAGE
    before = page.read_text("utf-8")
    made = invented_run(20, FanOut)
    documents.publish(made, [FanOut()], tmp_path)
    after = page.read_text("utf-8")
    assert after != before
    burst = re.compile(r"<!-- benchmarks: burst -->.*?<!-- benchmarks end -->", re.DOTALL)
    assert burst.search(after)[0] == burst.search(before)[0]  # type: ignore[index]
    empty = re.compile(r"(-->).*?(<!-- benchmarks end)", re.DOTALL)
    assert empty.sub(r"\1\2", after) == empty.sub(r"\1\2", before)

    documents.publish(made, [FanOut()], tmp_path)
    assert page.read_text("utf-8") == after


def test_page_has_a_block_for_each_measure() -> None:
    """A measure without a block would be measured, and not published."""
    page = (ROOT / documents.PAGE).read_text("utf-8")
    blocks = {match[1] for match in documents.BLOCK.finditer(page)}
    assert {kind.name for kind in MEASURES} <= blocks


@pytest.mark.parametrize(("name", "copies"), [(documents.README, 2), (documents.PAGE, 3)])
def test_documents_and_main_picture_show_the_same_figures(name: str, copies: int) -> None:
    """The result stands in the picture, in a sentence, and in each "alt" of the picture."""
    root = ElementTree.parse(PLOTS / "latency-light.svg").getroot()
    title, description = root[0].text or "", root[1].text or ""
    (figure,) = re.findall(r"adds (\S+ µs)", title)
    assert f"aioteredo adds {figure}" in description
    text = " ".join((ROOT / name).read_text("utf-8").split())
    assert text.count(description) == copies


def test_page_has_each_figure_of_the_main_picture() -> None:
    """The table of all loops has the figures of the main picture in its first column."""
    page = (ROOT / documents.PAGE).read_text("utf-8").replace("\N{NO-BREAK SPACE}", " ")
    shown = [text.removesuffix(" µs") for text in texts(PLOTS / "latency-light.svg")]
    figures = [text for text in shown if " ± " in text]
    assert len(figures) > 5
    for figure in figures:
        assert f" | {figure} |" in page
