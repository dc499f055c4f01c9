"""The page of a run: its figures, its pictures, both languages, and that it needs nothing from elsewhere."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import resnet
from numpy.typing import NDArray
from PIL import Image
from samples import noise
from sklearn.datasets import load_digits

import resnetkit
from resnetkit.answers import Answers
from resnetkit.classifier import load
from resnetkit.data.decode import Picture
from resnetkit.evaluation import Evaluation
from resnetkit.intervals import wilson
from resnetkit.page.chart import LEFT, SIDE, Frame, curves, reliability, risks
from resnetkit.page.mistakes import of_classes
from resnetkit.page.page import Page, write_page
from resnetkit.page.phrases import phrase, phrases, saying
from resnetkit.page.story import check_page
from resnetkit.page.thumbs import Thumbs
from resnetkit.page.verdict import verdict
from resnetkit.trouble.finding import KINDS

NAMES = ("零 <b>&0", "one", "two")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def digits(folder: Path, some: range) -> None:
    """Those of the built-in digits that are 0, 1 or 2, a folder for each."""
    every = load_digits()
    for i in some:
        label = int(every.target[i])
        if label < len(NAMES):
            place = folder / NAMES[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray((every.images[i] * 15).astype(np.uint8)).save(place / f"{i}.png")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits 0 to 2, one of which has a name that HTML would read, and a network that is not good at them."""
    folder = tmp_path_factory.mktemp("page")
    digits(folder / "data", range(300))
    done = resnet("train", folder / "data", "--model", "resnet8", "--epochs", "3", "--out", folder / "run")
    assert done.code == 0, done.err
    return folder / "run"


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def text_of(page: str) -> str:
    """What an English reader sees, with single spaces."""
    body = page.partition("<main>")[2].partition("</main>")[0]
    body = re.sub(r'<span lang="zh">[^<]*</span>', "", body)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).replace(" ,", ",").split())


def test_its_figures_are_those_of_the_metrics(run: Path, page: str) -> None:
    metrics = json.loads((run / "metrics.json").read_bytes())
    words = text_of(page)
    share = f"{metrics['accuracy']:.1%}"
    assert f"Of {metrics['n']} pictures of {metrics['split']}, {metrics['correct']} are right: {share}" in words
    for row in csv.DictReader((run / "per_class.csv").read_text(encoding="utf-8").splitlines()):
        if row["class"] != "all":
            shown = f"{100 * float(row['precision']):.1f}% {100 * float(row['recall']):.1f}% {float(row['f1']):.3f}"
            assert f"{row['class']} {shown} {row['support']}" in words
    table = list(csv.reader((run / "confusion_matrix.csv").read_text(encoding="utf-8").splitlines()))[1:]
    cells = re.findall(r'data-cell="(\d+)-(\d+)"[^>]*>(\d*)<', page)
    assert {(int(i), int(j)): int(count or 0) for i, j, count in cells} == {
        (i, j): int(count) for i, row in enumerate(table) for j, count in enumerate(row[1:])
    }


def test_the_data_are_those_of_the_split(run: Path, page: str) -> None:
    rows, shown = rows_of(run / "split.csv"), text_of(f"<main>{section_of(page, 'The data')}")
    for name in NAMES:
        counts = [sum((row["part"], row["class"]) == (part, name) for row in rows) for part in ("train", "val")]
        assert f"{name} {counts[0]} {counts[1]}" in shown
    assert f"train : {sum(row['part'] == 'train' for row in rows)} val : " in shown
    assert "No file is in two parts" in shown


def test_it_says_how_to_do_it_again(run: Path, page: str) -> None:
    shown = text_of(f"<main>{section_of(page, 'To repeat it')}")
    assert f"resnet train --run {run}/run.json resnet eval {run} " in shown
    settings = text_of(f"<main>{section_of(page, 'Settings')}")
    assert "network resnet8 parameters " in settings
    assert "epochs 3 steps " in settings


def test_names_are_never_read_as_html(page: str) -> None:
    assert "<b>&0" not in page
    assert "零 &lt;b&gt;&amp;0" in page


def test_it_needs_nothing_from_elsewhere(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href|action)\s*=\s*["'](?!data:)""", page)
    assert not re.search(r"https?:|@import|url\(", page)
    assert len(page.encode()) < 5_000_000


def test_every_phrase_is_in_both_languages() -> None:
    for name, texts in phrases().items():
        english, chinese = texts["en"], texts["zh"]
        fields = [sorted(re.findall(r"\{(\w+)", text)) for text in (english, chinese)]
        assert fields[0] == fields[1] or name == "found", name
        assert english.isascii()
        assert name in ("f1", "found") or not chinese.isascii()
    kinds = {name.removeprefix("kind "): texts["en"] for name, texts in phrases().items() if name.startswith("kind ")}
    assert kinds == KINDS
    shown = phrase("mistake", true="<i>", said="b", count=3, support=9)
    assert '<span lang="en">Its commonest mistake: &lt;i&gt; is taken for b, 3 times of 9.</span>' in shown


def test_what_findings_say_is_chinese_too(tmp_path: Path) -> None:
    """The words come from elsewhere: where those change, this fails."""
    root = tmp_path / "data"
    for i in range(44):
        noise(root / ("ants", "bees")[i % 2] / f"{i}.png", i, (64, 64))
    (root / "ants/empty.png").write_bytes(b"")
    (root / "ants/text.png").write_text("<b>404</b>")
    (root / "ants/half.png").write_bytes((root / "ants/0.png").read_bytes()[:900])
    (root / "ants/zip.png").write_bytes(b"PK\x03\x04" + bytes(9))
    (root / "bees/1.png").rename(root / "bees/1.jpg")
    noise(root / "bees/small.png", 99, (16, 16))
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16).save(root / "bees/grey.png")
    check_page(tmp_path / "page.html", resnetkit.check(root), ["resnet"])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    english, chinese = (" ".join(re.findall(rf'<span lang="{one}">([^<]*)</span>', page)) for one in ("en", "zh"))
    for words in ("empty", "text", "damaged", "archive", "named", "size", "grey", "bits", "no labels"):
        for language, shown in (("en", english), ("zh", chinese)):
            pieces = re.split(r"\{\w+\}", phrases()[f"says {words}"][language])
            assert all(piece in shown for piece in pieces), (words, language)
    assert "&lt;b&gt;404" in page
    assert saying("what nobody knows <b>") == "what nobody knows &lt;b&gt;"


def test_curves_leave_out_what_is_no_number() -> None:
    drawn = curves([0, 1, 2], [("val", "val", [0.5, None, 0.75]), ("train", "train", [float("nan"), 0.5, 0.6])])
    points = re.findall(r'points="([^"]*)"', drawn)
    assert [len(one.split()) for one in points] == [2, 2]
    with pytest.raises(ValueError, match="nothing to draw"):
        curves([0], [("val", "val", [None])])


def test_points_stand_where_their_numbers_are() -> None:
    bins = [{"confidence": 0.6, "accuracy": 0.5, "n": 40}, {"confidence": 0.9, "accuracy": 1.0, "n": 60}]
    before = [{"confidence": 0.8, "accuracy": 0.5, "n": 100}]
    drawn = reliability({"bins": bins, "before": {"bins": before}, "temperature": 2.0})
    frame = Frame((0.45, 1.0), (0.45, 1.0), SIDE + LEFT, SIDE)
    (val,) = re.findall(r'class="val"><title>now</title><polyline points="([^"]*)"', drawn)
    assert val == " ".join(f"{frame.x(one['confidence']):.1f},{frame.y(one['accuracy']):.1f}" for one in bins)
    (whisker, _) = re.findall(r'class="whisker" x1="[\d.]+" x2="[\d.]+" y1="([\d.]+)" y2="([\d.]+)"', drawn)
    low, high = wilson(20, 40)
    assert whisker == (f"{frame.y(max(low, 0.45)):.1f}", f"{frame.y(high):.1f}")
    assert 'class="train"' in drawn
    assert 'class="train"' not in reliability({"bins": bins, "before": {"bins": bins}, "temperature": 1})
    (line,) = re.findall(r'polyline points="([^"]*)"', risks({"coverage": [0.5, 1.0], "risk": [0.0, 0.2]}))
    frame = Frame((0.0, 1.0), (0.0, 0.2), SIDE + LEFT, SIDE)
    assert line == f"{frame.x(0.5):.1f},{frame.y(0):.1f} {frame.x(1):.1f},{frame.y(0.2):.1f}"


@pytest.fixture(scope="module")
def others(run: Path) -> Path:
    """Beside the run: pages of an evaluation, of a check, and of runs of tags and of numbers."""
    folder = run.parent
    digits(folder / "labelled", range(300, 600))
    for path in sorted((folder / "labelled" / NAMES[0]).iterdir())[:3]:
        shutil.copy(path, folder / "labelled" / NAMES[1] / f"swapped-{path.name}")
    (folder / "labelled" / NAMES[2] / "broken.png").write_bytes(b"no picture")
    pictures = sorted((folder / "data").rglob("*.png"))
    for task, cells in (("tags", lambda path: f"{path.parent.name};all" if int(path.stem) % 2 else path.parent.name),
                        ("numbers", lambda path: str(np.asarray(Image.open(path)).mean()))):  # fmt: skip
        with open(folder / f"{task}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("image", task), *((path, cells(path)) for path in pictures)])
        done = resnet(
            "train", folder / f"{task}.csv", "--task", task, "--label-column", task, "--image-column", "image",
            "--model", "resnet8", "--epochs", "2", "--out", folder / task,
        )  # fmt: skip
        assert done.code == 0, done.err
    done = resnet("eval", run, folder / "labelled", "--out", folder / "eval")
    assert done.code == 3, done.err  # for the broken one
    done = resnet("check", folder / "labelled", "--model", run, "--page", folder / "check.html")
    assert f"wrote {folder / 'check.html'}" in done.err
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def page_of(folder: Path, name: str) -> str:
    path = folder / "check.html" if name == "check" else folder / name / "report.html"
    return path.read_text(encoding="utf-8")


def section_of(page: str, title: str) -> str:
    return next(part for part in page.split("<h2>")[1:] if f'<span lang="en">{title}' in part.partition("</h2>")[0])


def test_an_evaluation_has_its_page(others: Path) -> None:
    page, metrics = page_of(others, "eval"), json.loads((others / "eval/metrics.json").read_bytes())
    words = text_of(page)
    assert f"Of {metrics['n']} pictures of {metrics['split']}, {metrics['correct']} are right" in words
    assert f"{metrics['calibration']['ece']:.1%} apart on average" in words
    assert f"balanced accuracy (mean recall) {100 * metrics['balanced_accuracy']:.1f}%" in words
    for one in metrics["slices"]:
        assert f"{one['name']} {100 * one['accuracy']:.1f}% {one['low']:.1%} to {one['high']:.1%}" in words
    assert metrics["slices"]
    assert "two/broken.png: is a text file" in words


def test_labels_that_are_wrong_stand_out(others: Path) -> None:
    """Zeros that stand there as ones too."""
    listed = section_of(page_of(others, "eval"), "Labels that may be wrong")
    assert listed.count("swapped-") >= 2 * 2  # a picture and its heat
    shown = section_of(page_of(others, "check"), KINDS["two-labels"])
    assert shown.count("swapped-") >= 3
    assert len(re.findall(r'<img alt="[^"]*" src="data:image/', shown)) == 2 * 3


def test_a_check_has_its_page(others: Path) -> None:
    found = json.loads(resnet("check", others / "labelled", "--json").out)
    page = page_of(others, "check")
    words = text_of(page)
    assert f"{sum(found['pictures'].values())} pictures were looked at." in words
    for kind, count in found["counts"].items():
        assert f"{KINDS[kind]} ({count})" in words
    assert "broken.png" in section_of(page, KINDS["unreadable"])
    assert "Training would stop" in words


@pytest.mark.parametrize(
    ("name", "table", "cells"),
    [
        ("tags", "per_tag.csv", [("average_precision", "{:.3f}", 1), ("precision", "{:.1f}%", 100)]),
        ("numbers", "per_number.csv", [("mae", "{:.4g}", 1), ("rmse", "{:.4g}", 1), ("r2", "{:.4f}", 1)]),
    ],
)
def test_other_tasks_have_theirs(others: Path, name: str, table: str, cells: list[tuple[str, str, float]]) -> None:
    words, rows = text_of(page_of(others, name)), rows_of(others / name / table)
    metrics = json.loads((others / name / "metrics.json").read_bytes())
    for row in rows:
        first = next(iter(row.values()))
        if first != "all":
            assert " ".join([first, *(how.format(times * float(row[cell])) for cell, how, times in cells)]) in words
    assert f"{metrics['n']} pictures of {metrics['split']}" in words
    assert "Worst mistakes" in words


@pytest.mark.parametrize("name", ["eval", "check", "tags", "numbers"])
def test_those_need_nothing_from_elsewhere_either(others: Path, name: str) -> None:
    test_it_needs_nothing_from_elsewhere(page_of(others, name))
    test_names_are_never_read_as_html(page_of(others, name))


def test_a_thousand_pictures_are_below_5_mb(tmp_path: Path) -> None:
    """Of noise, which is stored worst."""
    rng = np.random.default_rng(0)
    names = [f"{i}" for i in range(1000)]
    pixels = rng.integers(0, 256, (1000, 150, 150, 3), np.uint8)
    labels = rng.integers(0, 30, 1000)
    answers = Answers(np.arange(1000), rng.normal(size=(1000, 30)).astype(np.float32), labels, [])
    classes = tuple(f"class {i}" for i in range(30))
    evaluation = Evaluation("test", classes, tuple(names), labels, answers, read=lambda i: Picture(pixels[i]))
    thumbs = Thumbs(evaluation.read, lambda picture, _: picture)
    write_page(tmp_path / "page.html", Page("noise", verdict(evaluation), list(of_classes(evaluation, thumbs)), thumbs))
    assert 1_000_000 < (tmp_path / "page.html").stat().st_size < 5_000_000


def test_a_network_of_other_classes_doubts_labels_without_heat(others: Path) -> None:
    """It tells the classes apart by what it sees, and has no answer of their names."""
    model = load(others / "run")
    heat = model.heat()
    assert heat is not None
    pixels = np.zeros((8, 8, 1), np.uint8)
    assert heat(pixels, "no class") is None
    known = heat(pixels, model.classes[0])
    assert known is not None
    assert known.shape == (8, 8, 3)
    large = heat(np.zeros((900, 1800, 1), np.uint8), model.classes[0])
    assert large is not None
    assert large.shape == (224, 448, 3)
    thumbs = Thumbs(lambda _: Picture(pixels), heat)
    assert thumbs.want(0, "no class") is None
    assert thumbs.want(0, model.classes[0]) is not None


def test_a_page_replaces_nothing_but_a_page(others: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.html"
    mine.write_text("<p>mine")
    for page, said in ((mine, "is no page of resnet"), (tmp_path / "no/page.html", "is not a folder"), (tmp_path, "")):
        done = resnet("check", others / "data", "--page", page)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
    assert mine.read_text() == "<p>mine"
    for _ in range(2):
        assert resnet("check", others / "data", "--page", tmp_path / "ours.html").code == 0


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


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[[Path, int], Any]]:
    """Opens a file in a window so wide. Nothing may be asked for beside it, and nothing may go wrong."""
    asked, broken, pages = [], [], []

    def open_page(path: Path, width: int) -> Any:
        shown = browser.new_page(viewport={"width": width, "height": 900})
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("pageerror", lambda error: broken.append(str(error)))
        shown.on("console", lambda message: broken.append(message.text) if message.type == "error" else None)
        shown.goto(path.as_uri())
        pages.append(path)
        return shown

    yield open_page
    assert not broken
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == len(pages)


@pytest.mark.parametrize("width", [390, 1440])
def test_in_a_browser(run: Path, opened: Callable[[Path, int], Any], width: int, tmp_path: Path) -> None:
    shown = opened(run / "report.html", width)
    assert "are right" in shown.inner_text(".verdict")
    before = len(shown.query_selector_all("#cell img"))
    cell = shown.query_selector(".matrix button:not([disabled])")
    cell.focus()
    shown.keyboard.press("Enter")  # without a mouse
    assert (before, len(shown.query_selector_all("#cell img")) > 0) == (0, True)
    shown.click("#language")
    assert "张正确" in shown.inner_text(".verdict")
    assert "are right" not in shown.inner_text(".verdict")
    assert "验证集" in shown.inner_text(".verdict")
    assert shown.evaluate("document.documentElement.lang") == "zh"
    shown.screenshot(path=tmp_path / "page.png")
    pixels: NDArray[np.uint8] = np.asarray(Image.open(tmp_path / "page.png").convert("L"))
    assert pixels.std() > 5  # something is drawn


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", ["run", "eval", "check", "tags", "numbers"])
def test_every_page_fits(others: Path, opened: Callable[[Path, int], Any], name: str, width: int) -> None:
    shown = opened(others / "check.html" if name == "check" else others / name / "report.html", width)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert name == "run" or shown.evaluate("document.images.length") > 0  # its val part may hold no mistake
    assert all(shown.evaluate("[...document.images].map(one => one.complete && one.naturalWidth > 0)"))
