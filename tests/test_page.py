"""The page of a run: its figures, its pictures, both languages, and that it needs nothing from elsewhere."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import resnet
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from resnetkit.report.chart import curves
from resnetkit.report.phrases import PHRASES, phrase

NAMES = ("零 <b>&0", "one", "two")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits 0 to 2, one of which has a name that HTML would read, and a network that is not good at them."""
    folder = tmp_path_factory.mktemp("page")
    digits = load_digits()
    for i in range(300):
        label = int(digits.target[i])
        if label < len(NAMES):
            place = folder / "data" / NAMES[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digits.images[i] * 15).astype(np.uint8)).save(place / f"{i}.png")
    done = resnet("train", folder / "data", "--model", "resnet8", "--epochs", "3", "--out", folder / "run")
    assert done.code == 0, done.err
    return folder / "run"


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def text_of(page: str) -> str:
    return unescape(re.sub(r"<[^>]*>", " ", page.partition("<main>")[2].partition("</main>")[0]))


def test_its_figures_are_those_of_the_metrics(run: Path, page: str) -> None:
    metrics = json.loads((run / "metrics.json").read_bytes())
    words = " ".join(text_of(page).split())
    share = f"{metrics['accuracy']:.1%}"
    assert f"Of {metrics['n']} pictures of {metrics['split']}, {metrics['correct']} are right: {share}" in words
    for row in csv.DictReader((run / "per_class.csv").read_text(encoding="utf-8").splitlines()):
        if row["class"] != "all":
            shown = f"{100 * float(row['precision']):.1f} % {100 * float(row['recall']):.1f} % {float(row['f1']):.3f}"
            assert f"{row['class']} {shown} {row['support']}" in words
    table = list(csv.reader((run / "confusion_matrix.csv").read_text(encoding="utf-8").splitlines()))[1:]
    cells = re.findall(r'data-cell="(\d+)-(\d+)"[^>]*>(\d*)<', page)
    assert {(int(i), int(j)): int(count or 0) for i, j, count in cells} == {
        (i, j): int(count) for i, row in enumerate(table) for j, count in enumerate(row[1:])
    }


def test_names_are_never_read_as_html(page: str) -> None:
    assert "<b>&0" not in page
    assert "零 &lt;b&gt;&amp;0" in page


def test_it_needs_nothing_from_elsewhere(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href|action)\s*=\s*["'](?!data:)""", page)
    assert not re.search(r"https?:|@import|url\(", page)
    assert len(page.encode()) < 5_000_000


def test_every_phrase_is_in_both_languages() -> None:
    for name, (english, chinese) in PHRASES.items():
        fields = [sorted(re.findall(r"\{(\w+)", text)) for text in (english, chinese)]
        assert fields[0] == fields[1], name
        assert english.isascii()
        assert name == "f1" or not chinese.isascii()
    shown = phrase("mistake", true="<i>", said="b", count=3, support=9)
    assert '<span lang="en">Its commonest mistake: &lt;i&gt; is taken for b, 3 times of 9.</span>' in shown


def test_curves_leave_out_what_is_no_number() -> None:
    drawn = curves([0, 1, 2], [("val", "val", [0.5, None, 0.75]), ("train", "train", [float("nan"), 0.5, 0.6])])
    points = re.findall(r'points="([^"]*)"', drawn)
    assert [len(one.split()) for one in points] == [2, 2]
    with pytest.raises(ValueError, match="nothing to draw"):
        curves([0], [("val", "val", [None])])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real one, as dependencies of development bring it."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as tools:
        chromium = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_in_a_browser(run: Path, browser: Any, width: int, tmp_path: Path) -> None:
    shown = browser.new_page(viewport={"width": width, "height": 900})
    asked, broken = [], []
    shown.on("request", lambda request: asked.append(request.url))
    shown.on("pageerror", lambda error: broken.append(str(error)))
    shown.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)
    shown.goto((run / "report.html").as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert "are right" in shown.inner_text(".verdict")
    before = len(shown.query_selector_all("#cell img"))
    cell = shown.query_selector(".matrix button:not([disabled])")
    cell.focus()
    shown.keyboard.press("Enter")  # without a mouse
    assert (before, len(shown.query_selector_all("#cell img")) > 0) == (0, True)
    assert all(shown.evaluate("[...document.images].map(one => one.complete && one.naturalWidth > 0)"))
    shown.click("#language")
    assert "张正确" in shown.inner_text(".verdict")
    assert "are right" not in shown.inner_text(".verdict")
    assert shown.evaluate("document.documentElement.lang") == "zh"
    shown.screenshot(path=tmp_path / "page.png")
    pixels: NDArray[np.uint8] = np.asarray(Image.open(tmp_path / "page.png").convert("L"))
    assert pixels.std() > 5  # something is drawn
    assert not broken
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1
